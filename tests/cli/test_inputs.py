"""What is said of a model's inputs: sizes that the file leaves open, constants, data of several inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.cli.conftest import Command
from tests.quantize.networks import FloatNet, SequenceNet
from tvm_re2na import Program, frontends, load_model, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import checked
from tvm_re2na.onnx_runtime import session

needs_tvm = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(7)


def save_images(path: Path, **shapes: tuple[int, ...]) -> Path:
    np.savez(path, **{name: RNG.normal(0, 1, (6, *shape)).astype(np.float32) for name, shape in shapes.items()})
    return path


@pytest.fixture
def open_sizes(tmp_path: Path) -> Path:
    """Rows and columns are open, but only images of 8x8 have the 144 numbers that the last layer takes."""
    net = FloatNet()
    net.shape = ["N", 3, "H", "W"]
    onnx.save(net.build(net.gemm(net.add("Flatten", net.conv("input", 3, 4)), 144, 5)), tmp_path / "open.onnx")
    return tmp_path / "open.onnx"


def test_the_shape_is_fixed_in_the_quantised_file(re2na: Command, open_sizes: Path, tmp_path: Path) -> None:
    data, output = save_images(tmp_path / "x.npz", x=(3, 8, 8)), tmp_path / "out.onnx"
    for asked, sizes in (("1,3,8,8", [1, 3, 8, 8]), ("input=N,N,8,8", [0, 3, 8, 8])):
        made = re2na("quantize", open_sizes, "--calibration", data, "--input-shape", asked, "-o", output, "--json")
        assert made.code == 0, made.stderr
        assert [size.dim_value for size in onnx.load(output).graph.input[0].type.tensor_type.shape.dim] == sizes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [],
            "input 'input' is ?x3x?x?, its axis 2 (height) and axis 3 (width) are open: --input-shape input=N,3,HEIGHT,WIDTH",
        ),
        (["1,3,8,N"], "input 'input' is 1x3x8x?, its axis 3 (width) is open: --input-shape input=N,3,8,WIDTH"),
        (["1,4,8,8"], "input 'input': axis 1 is 3 in the file, 4 was asked for"),
        (["1,3,0,8"], "input 'input': axis 2: size 0, expected a number from 1 to 268435456"),
        (["1,3,8,-8"], "input 'input': axis 3: size -8, expected"),
        (["1,3,8"], "input 'input': --input-shape 1,3,8 has 3 sizes, the model's input is ?x3x?x?"),
        (["1,3,16384,16384"], "input 'input' of 1x3x16384x16384: 805,306,368 elements, at most 2**28"),
        ([f"{2**31},3,{2**40},8"], f"input 'input': axis 0: size {2**31}, expected"),
        (["1,3,9,8"], "does not take inputs of these sizes (input 1x3x9x8)"),
        (["1,3,1,1"], "does not take inputs of these sizes (input 1x3x1x1)"),
        (["image=1,3,8,8"], "input 'image': the model has none of this name; its inputs are input"),
        (["1,3,8,8", "1,3,8,8"], "--input-shape: given more than once, each needs the input's name"),
        (["input=1,3,8,8", "input=1,3,8,9"], "--input-shape: 'input' is given 2 times"),
        (["1,3,8,eight"], "argument --input-shape: '1,3,8,eight' is no shape"),
    ],
)
def test_shapes_that_cannot_be(
    re2na: Command, open_sizes: Path, tmp_path: Path, given: list[str], message: str
) -> None:
    data = save_images(tmp_path / "x.npz", x=(3, 8, 8))
    options = [item for text in given for item in ("--input-shape", text)]
    outcome = re2na("quantize", open_sizes, "--calibration", data, *options)
    assert outcome.code == 2 and message in outcome.stderr
    assert "Traceback" not in outcome.stderr and len(outcome.stderr.splitlines()[-1:]) == 1


def test_an_axis_that_two_inputs_share() -> None:
    model = two_inputs()
    fixed = checked(model, {"left": (4, 3, 8, 8)})
    assert [given.batch for given in pipeline.model_inputs(fixed)] == [4, 4]
    with pytest.raises(ModelError, match=r"axis 0 \('N'\): 2 was asked for, and 4 before"):
        checked(model, {"left": (4, 3, 8, 8), "right": (2, None, None, None)})
    with pytest.raises(ModelError, match=r"the model has 2 inputs \(right, left\): NAME=1,3,8,8 says whose it is"):
        checked(model, (1, 3, 8, 8))


@pytest.mark.parametrize("unknown", ["?", "-1", "*"])
def test_what_stands_for_any_size_is_no_name(unknown: str) -> None:
    """Two axes that are both called so need not have one size."""
    net = FloatNet()
    net.shape = [unknown, 3, unknown, unknown]
    model = net.build(net.conv("input", 3, 4))
    fixed = checked(model, (2, None, 8, 12))
    assert pipeline.model_input(fixed).image == (3, 8, 12)
    assert [size.dim_value for size in fixed.graph.input[0].type.tensor_type.shape.dim] == [2, 3, 8, 12]


def two_inputs() -> onnx.ModelProto:
    """Two images, whose order is another in the file than in the network."""
    net = FloatNet()
    left = net.add("Relu", net.conv("left", 3, 4))
    right = net.conv(net.conv("right", 3, 4), 4, 4, 1)
    model = net.build(net.gemm(net.add("Flatten", net.add("Add", left, right)), 144, 5))
    del model.graph.input[:]
    for name in ("right", "left"):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]))
    return onnx.shape_inference.infer_shapes(model)


@needs_tvm
def test_a_program_of_several_inputs(re2na: Command, tmp_path: Path) -> None:
    """`run` gives what the network gives in TVM, by the names of the network's inputs."""
    model, data = tmp_path / "two.onnx", save_images(tmp_path / "data.npz", left=(3, 8, 8), right=(3, 8, 8))
    onnx.save(two_inputs(), model)
    arrays = dict(np.load(data))
    assert re2na("quantize", model, "--calibration", data, "-o", tmp_path / "q.onnx").code == 0
    assert re2na("compile", tmp_path / "q.onnx", "-o", tmp_path / "p.re2na").code == 0
    assert re2na("run", tmp_path / "p.re2na", "--data", data, "-o", tmp_path / "out.npz", "--jobs", 1).code == 0
    quantized = load_model(tmp_path / "q.onnx")
    images = pipeline.images_for(data, quantized, None)
    built = pipeline.build_for_re2na(*pipeline.import_into_tvm(quantized, 6), Architecture())
    scale = Program.open(tmp_path / "p.re2na").meta["output_scale"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["gemm_6:0"] * scale, built.executor()(images.x)[0])
    swapped = tmp_path / "swapped.npz"
    np.savez(swapped, left=arrays["right"], right=arrays["left"][:5])
    outcome = re2na("run", tmp_path / "p.re2na", "--data", swapped)
    assert outcome.code == 2 and "as many arrays of every input are needed" in outcome.stderr
    np.savez(swapped, left=arrays["left"], x=arrays["right"])
    outcome = re2na("run", tmp_path / "p.re2na", "--data", swapped)
    assert outcome.code == 2 and "no field 'right', an input of the program; it has left, x" in outcome.stderr


def test_data_of_several_inputs(re2na: Command, tmp_path: Path) -> None:
    onnx.save(two_inputs(), tmp_path / "two.onnx")
    for shapes, message in (
        ({"left": (3, 8, 8)}, "no field 'right', which is an input of the network; it has left"),
        ({"left": (3, 8, 8), "right": (3, 8, 9)}, "right has shape 6x3x8x9, the network takes Nx3x8x8"),
    ):
        data = save_images(tmp_path / "data.npz", **shapes)
        outcome = re2na("quantize", tmp_path / "two.onnx", "--calibration", data)
        assert outcome.code == 2 and message in outcome.stderr
    outcome = re2na("quantize", tmp_path / "two.onnx", "--calibration", tmp_path)
    assert outcome.code == 2 and "a folder of pictures; the network has 2 inputs" in outcome.stderr
    outcome = re2na("quantize", tmp_path / "two.onnx", "--calibration", data, "--mean", "0.5")
    assert outcome.code == 2 and "mean = 0.5 is for pixels" in outcome.stderr


def test_a_constant_input(re2na: Command, tmp_path: Path) -> None:
    """What the network of one input is then: that of two with this array."""
    model, constant = tmp_path / "two.onnx", RNG.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    onnx.save(two_inputs(), model)
    np.save(tmp_path / "left.npy", constant)
    data, output = save_images(tmp_path / "data.npz", x=(3, 8, 8)), tmp_path / "q.onnx"
    asked = ("quantize", model, "--calibration", data, "-o", output)
    assert re2na(*asked, "--input", f"left={tmp_path / 'left.npy'}").code == 0
    assert [value.name for value in onnx.load(output).graph.input] == ["right"]
    fixed = load_model(model, constants={"left": constant})
    x = RNG.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    (got,), (wanted,) = (
        session(graph.SerializeToString()).run(None, feeds)
        for graph, feeds in ((fixed, {"right": x}), (two_inputs(), {"left": constant, "right": x}))
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    for array, message in (
        (constant[:, :2], "input 'left': the constant is float32 1,2,8,8, the model's input is float32 ?x3x8x8"),
        (constant.astype(np.float64), "input 'left': the constant is float64 1,3,8,8"),
    ):
        np.save(tmp_path / "left.npy", array)
        outcome = re2na(*asked, "--input", f"left={tmp_path / 'left.npy'}")
        assert outcome.code == 2 and message in outcome.stderr
    outcome = re2na(*asked, "--input", "left")
    assert outcome.code == 2 and "argument --input: 'left' is no NAME=FILE.npy" in outcome.stderr


def test_a_network_of_which_nothing_is_quantised(re2na: Command, tmp_path: Path) -> None:
    """A softmax stays in float."""
    net = SequenceNet(4, 6)
    onnx.save(net.build(net.add("Softmax", "input")), tmp_path / "dense.onnx")
    data = save_images(tmp_path / "x.npz", x=(4, 6))
    outcome = re2na("quantize", tmp_path / "dense.onnx", "--calibration", data, "-o", tmp_path / "q.onnx", "--json")
    assert outcome.code == 2 and "there is nothing to quantise" in outcome.stderr


def test_data_of_another_rank(re2na: Command, tmp_path: Path) -> None:
    net = SequenceNet()
    onnx.save(net.build(net.conv1d("input", 4, 4)), tmp_path / "sequence.onnx")
    asked = ("quantize", tmp_path / "sequence.onnx", "--calibration")
    for shape, message in (
        ((4,), "x has shape 6x4, expected (N, C, L)"),
        ((4, 24, 1), "x has shape 6x4x24x1, expected (N, C, L)"),
        ((4, 23), "x holds arrays of 4x23, the network takes 4x24"),
    ):
        outcome = re2na(*asked, save_images(tmp_path / "x.npz", x=shape))
        assert outcome.code == 2 and message in outcome.stderr
    for options, message in (
        ([tmp_path], "a folder or dataset of pictures"),
        ([tmp_path, "--gray"], "gray = True is for images"),
    ):
        outcome = re2na(*asked, *options)
        assert outcome.code == 2 and f"{message}; the network takes arrays of 4x24" in outcome.stderr
    np.savez(tmp_path / "x.npz", x=np.zeros((6, 4, 24), np.uint8))
    outcome = re2na(*asked, tmp_path / "x.npz")
    assert outcome.code == 2 and "x is uint8, expected float32" in outcome.stderr
    np.save(tmp_path / "x.npy", net.rng.normal(0, 1, (6, 4, 24)).astype(np.float32))
    assert re2na(*asked, tmp_path / "x.npy", "-o", tmp_path / "q.onnx").code == 0
