"""`debug` names the layer that is broken, whatever breaks it, and what it shows are the bits of the programs themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.frontends.qdq import QdqBuilder, small_weights
from tests.quantize.networks import FloatNet
from tvm_re2na import frontends, pipeline
from tvm_re2na.batches import join_inputs
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.debugging import Debugging, debug
from tvm_re2na.debugging.kept import Dump
from tvm_re2na.model_error import ModelError
from tvm_re2na.npz import DataError
from tvm_re2na.quantize import QuantizeOptions, quantize
from tvm_re2na.quantize.counterparts import read_counterparts
from tvm_re2na.quantize.options import WeightRounding

RNG = np.random.default_rng(21)
QUICK = QuantizeOptions(rounding=WeightRounding.NEAREST)
needs_tvm = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
pytestmark = needs_tvm


def network(activation: str = "Relu", **attributes: Any) -> tuple[onnx.ModelProto, np.ndarray]:
    """Three convolutions, the second behind a normalisation and before a pooling, an average, a dense layer."""
    net = FloatNet(size=10, seed=4)
    x = net.add(activation, net.conv("input", 3, 6, pads=[1, 1, 1, 1]), **attributes)
    statistics = [net.const(net.rng.uniform(0.5, 2, 6)) for _ in range(4)]
    x = net.add("BatchNormalization", net.conv(x, 6, 6, pads=[1, 1, 1, 1]), *statistics)
    x = net.add("MaxPool", net.add("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("GlobalAveragePool", net.add("Relu", net.conv(x, 6, 8)))
    return net.build(net.gemm(net.add("Flatten", x), 8, 5)), net.images(24)


@pytest.fixture(scope="module")
def known() -> tuple[onnx.ModelProto, onnx.ModelProto, np.ndarray]:
    """The network in float, quantised, and images for it."""
    model, images = network()
    return model, quantize(model, images, options=QUICK).model, images


def off_by_one(model: onnx.ModelProto, layer: str) -> onnx.ModelProto:
    """The layer's weights, and with them its biases, in steps twice as large."""
    broken = copy.deepcopy(model)
    for tensor in broken.graph.initializer:
        if tensor.name in (f"{layer}.weight.scale", f"{layer}.bias.scale"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(tensor), tensor.name))
    assert broken != model
    return broken


@pytest.mark.parametrize("layer", ["conv_2", "gemm_10"])
def test_a_weight_exponent_off_by_one(known: tuple[Any, ...], layer: str) -> None:
    """All sides compute the same wrong thing: only the float model tells, and names the layer first."""
    model, quantized, images = known
    found = debug(off_by_one(quantized, layer), in_memory("images", images[:3], None), float_model=model)
    assert layer in found.suspects[0].nodes
    assert found.agrees and found.suspects[0].alone_db < 8 < min(row.alone_db for row in found.suspects[1:])
    assert found.reference == "the float model"


def test_nothing_is_broken(known: tuple[Any, ...]) -> None:
    """What the quantiser has folded, scaled and moved is held against what it was."""
    model, quantized, images = known
    found = debug(quantized, in_memory("images", images[:3], None), float_model=model)
    assert found.agrees and min(row.alone_db for row in found.operators) > 20 and not found.notes
    assert found.first_parting["tvm_re2na"] is None
    by_op = {row.op: row for row in found.operators}
    assert by_op["MaxPool"].place == "Re²Na" and by_op["MaxPool"].tvm_re2na is not None
    pooled = next(row for row in found.operators if "conv_2" in row.nodes)
    assert pooled.place == "Re²Na, within maxpool_5" and pooled.re2na is None
    outputs = found.outputs["gemm_10"]
    assert outputs["re2na"] == outputs["tvm"] == by_op["Gemm"].tvm.snr_db  # type: ignore[union-attr]
    for row in found.operators:
        assert sum(row.values) == sum(row.errors) == 3 * np.prod(row.shape), "histograms hold every element"
        assert row.re2na is None or row.re2na == row.tvm


def test_leaky_relu_as_tvm_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM 0.19's own conversion applies the slope twice, so that it is 0 on int8: a Relu. That is what TVM is given here, of all
    that it reads; ONNX Runtime and the float model have the LeakyReLU."""
    model, images = network("LeakyRelu", alpha=0.25)
    quantized = quantize(model, images, options=QUICK).model
    read = pipeline.import_into_tvm

    def wrong(given: onnx.ModelProto, batch: int = 1) -> Any:
        made = copy.deepcopy(given)
        for node in made.graph.node:
            if node.op_type == "LeakyRelu":
                node.op_type = "Relu"
                node.ClearField("attribute")
        return read(made, batch)

    monkeypatch.setattr(pipeline, "import_into_tvm", wrong)
    found = debug(quantized, in_memory("images", images[:2], None), float_model=model)
    first = found.suspects[0]
    assert "leakyrelu_1" in first.nodes and not found.agrees
    assert found.first_parting["onnx_runtime_tvm_beyond_ties"] == first.name
    assert found.first_parting["tvm_re2na"] is None, "Re²Na does what TVM's CPU does"
    assert first.onnx_runtime_tvm is not None and first.onnx_runtime_tvm.steps is not None
    assert first.onnx_runtime_tvm.steps > 5
    behind = [row for row in found.operators if row.number > first.number]
    assert not any(row.parts for row in behind), "given the same operands, the others agree"


def overflowing(exponent: int = -6) -> onnx.ModelProto:
    """A convolution whose sums leave 17 bits, between two that do not."""
    rng = np.random.default_rng(2)
    b = QdqBuilder((1, 64, 5, 5), exponent)
    b.conv(small_weights(rng, 64, 64, 1, 1), exponent=-6)
    b.conv(np.full((8, 64, 3, 3), 100, np.int8), exponent=0)
    b.conv(small_weights(rng, 4, 8, 1, 1), exponent=-2)
    return b.build()


def test_an_accumulator_that_overflows() -> None:
    """The one thing in which Re²Na may part from TVM's CPU: it is named, with the share of sums that did."""
    model = overflowing()
    images = np.full((2, 64, 5, 5), 1.9, np.float32)
    found = debug(model, in_memory("images", images, None))
    first = found.suspects[0]
    assert found.first_parting["tvm_re2na"] == first.name and first.op == "Conv"
    assert first.overflowed == 1.0 and first.tvm_re2na is not None and first.tvm_re2na.differing > 0
    assert [row.overflowed for row in found.operators if row.op == "Conv"].count(0.0) == 2
    assert found.reference.startswith("this model without its roundings")


def test_regions_and_the_cpu_between_them() -> None:
    """A softmax in the middle stays on the CPU; what the second program is given is what the first one made."""
    b = QdqBuilder((1, 4, 6, 6), -5)
    b.conv(small_weights(RNG, 8, 4, 3, 3), exponent=-4)
    b.node("Elu", (1, 8, 4, 4), -5)
    left = b.conv(small_weights(RNG, 8, 8, 1, 1), exponent=-5)
    right = b.conv(small_weights(RNG, 8, 8, 1, 1), exponent=-5)
    b.concat(left, right)
    b.conv(small_weights(RNG, 4, 16, 3, 3), exponent=-3)
    model = b.build()
    images = RNG.normal(0, 1, (2, 4, 6, 6)).astype(np.float32)
    found = debug(model, in_memory("images", images, None))
    places = {row.op: row.place for row in found.operators}
    assert places["Elu"] == "CPU" and {"Re²Na/0", "Re²Na/1"} <= {row.place for row in found.operators}
    seen = [row for row in found.operators if row.place.startswith("Re²Na")]
    assert len(seen) == 5 and all(row.tvm_re2na is not None and row.tvm_re2na.differing == 0 for row in seen)


def test_dump_and_worst_images(known: tuple[Any, ...], tmp_path: Path) -> None:
    """An image far beyond the others is the worst; the files hold what was compared."""
    model, quantized, images = known
    chosen = images[:3].copy()
    chosen[1] *= 40
    dump = Dump(tmp_path / "dump")
    labels = np.array([1, 2, -1])
    found = debug(quantized, in_memory("images", chosen, labels), float_model=model, worst=2, dump=dump)
    assert len(found.worst) == 2 and (found.worst[0].image, found.worst[0].label) == (1, 2) and found.worst[0].operator
    files = sorted((tmp_path / "dump").iterdir())
    assert len(files) == len(found.operators)
    for path, row in zip(files, found.operators, strict=True):
        with np.load(path) as kept:
            assert kept["tvm"].shape == kept["onnx_runtime"].shape == kept["float"].shape == (3, *row.shape)
            assert ("re2na" in kept) == (row.tvm_re2na is not None)
            if "re2na" in kept:
                differing = int((kept["re2na"].reshape(kept["tvm"].shape) != kept["tvm"]).sum())
                assert differing == row.tvm_re2na.differing  # type: ignore[union-attr]
            saturated = np.isin(kept["tvm"], (-128, 127)).mean()
            assert row.saturated == pytest.approx(saturated)


def test_what_the_tensors_were(known: tuple[Any, ...]) -> None:
    """A sum stands for an average; nothing else of this network has other values than in float."""
    _, quantized, _ = known
    notes = read_counterparts(quantized)
    averages = [note for note in notes.values() if note is not None and note.factors.size == 1]
    assert [note.factors[0] for note in averages] == pytest.approx([9, 9], rel=1e-3), "of 3 x 3 pixels, and flattened"


def test_what_it_does_not_take(known: tuple[Any, ...]) -> None:
    model, quantized, images = known
    data = in_memory("images", images[:1], None)
    with pytest.raises(ModelError, match="'net': is quantised; debug is held against a float model"):
        debug(quantized, data, float_model=quantized)
    net = FloatNet(size=7)
    with pytest.raises(ModelError, match="'net': takes 3x7x7, the quantised one 3x10x10"):
        debug(quantized, data, float_model=net.build(net.conv("input", 3, 4)))
    with pytest.raises(ModelError, match="a float model needs calibration images"):
        debug(model, data)
    with pytest.raises(DataError, match="images: there are no images"):
        debug(quantized, in_memory("images", images[:0], None))


def test_a_machine_of_its_own(known: tuple[Any, ...]) -> None:
    """With little memory the network is cut in strips, and tensors between go by in pieces: the bits are seen all the same."""
    _, quantized, images = known
    found: Debugging = debug(quantized, in_memory("images", images[:2], None), arch=Architecture(sram_bytes=4096))
    assert all(
        row.tvm_re2na is not None and row.tvm_re2na.differing == 0 for row in found.operators if row.place == "Re²Na"
    )
    assert found.agrees


def test_activations_with_integers_before_them() -> None:
    """A Relu behind a convolution or an addition, with its own QuantizeLinear before it: one operator on the machine, two here."""
    b = QdqBuilder((1, 4, 6, 6), -5)
    left = b.conv(small_weights(RNG, 8, 4, 3, 3), exponent=-4)
    b.relu()
    b.conv(small_weights(RNG, 8, 8, 3, 3), pads=[1, 1, 1, 1], exponent=-4)
    b.add(left, b.clip(0, 6), -3)
    b.relu()
    b.max_pool(2, strides=[2, 2])
    b.flatten()
    b.dense(small_weights(RNG, 5, 32), exponent=-2)
    found = debug(b.build(), in_memory("images", RNG.normal(0, 1, (2, 4, 6, 6)).astype(np.float32), None))
    assert found.agrees, [row.name for row in found.operators if row.parts]
    assert all(row.place.startswith("Re²Na") for row in found.operators[1:])
    seen = [row for row in found.operators if row.tvm_re2na is not None]
    assert {"MaxPool", "Flatten", "Gemm"} <= {row.op for row in seen} and len(seen) >= 5


def test_several_inputs_and_an_output_of_classes() -> None:
    """Records of two inputs; the number of a class is no float, and is not held against one."""
    net = FloatNet(size=6)
    x = net.add("Flatten", net.add("Relu", net.conv("input", 3, 4)))
    scores = net.gemm(net.add("Concat", x, net.gemm("facts", 5, 7), axis=1), 4 * 16 + 7, 4)
    model = net.build(scores)
    model.graph.input.append(onnx.helper.make_tensor_value_info("facts", onnx.TensorProto.FLOAT, ["N", 5]))
    model.graph.node.append(onnx.helper.make_node("ArgMax", [scores], ["class"], name="class", axis=1))
    model.graph.output.append(onnx.helper.make_tensor_value_info("class", onnx.TensorProto.INT64, None))
    model = onnx.shape_inference.infer_shapes(model)
    data = {"input": net.images(16), "facts": net.rng.normal(0, 1, (16, 5)).astype(np.float32)}
    quantized, images = quantize(model, data, options=QUICK).model, join_inputs(data)[:2]
    found = debug(quantized, in_memory("data", images, None), float_model=model)
    assert found.agrees and found.outputs[scores].keys() == {"onnx_runtime", "tvm", "re2na"}
    assert found.outputs["class"] == {} and found.operators[-1].tvm is None
    assert min(row.alone_db for row in found.operators) > 20
