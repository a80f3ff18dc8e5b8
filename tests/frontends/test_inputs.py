"""Networks of sequences and of vectors, of several inputs and several outputs, all packed into one: from file to machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.models.topologies import quickly_quantized
from tests.quantize.networks import SequenceNet
from tvm_re2na import compare, frontends, load_dataset, load_model, pipeline
from tvm_re2na.batches import by_name, join_inputs
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.float_runner import float_runner
from tvm_re2na.quantize import QuantizeError

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")

INPUTS = {
    "sequence": (4, 24),
    "vector": (20,),
    "image": (3, 8, 8),
    "facts": (6,),
    "left": (3, 8, 8),
    "right": (3, 8, 8),
}
LEAST_DB = 20


class PackedNet(SequenceNet):
    """A network for sequences, one of dense layers, one of an image and facts about it, one that compares two images."""

    def outputs(self) -> list[str]:
        return [self.conv1d("sequence", 4, 6), self.classifier("sequence"), self.dense(), self.fused(), self.siamese()]

    def dense(self) -> str:
        return self.gemm(self.add("Relu", self.gemm("vector", 20, 16)), 16, 3)

    def fused(self) -> str:
        x = self.add("Relu", self.conv("image", 3, 4, strides=[2, 2], pads=[1, 1, 1, 1]))
        x = self.gemm(self.add("Flatten", x), 64, 8)
        return self.gemm(self.add("Relu", self.add("Concat", x, "facts", axis=1)), 14, 3)

    def siamese(self) -> str:
        weight, bias = self.random(4, 3, 3, 3, scale=0.2), self.random(4)
        left, right = (self.add("Relu", self.add("Conv", side, weight, bias)) for side in ("left", "right"))
        return self.add("Add", left, right)

    def packed(self, batch: int | str = "N") -> onnx.ModelProto:
        model = self.build(*self.outputs())
        del model.graph.input[:]
        for name, shape in INPUTS.items():
            model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape]))
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        return onnx.shape_inference.infer_shapes(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, and arrays for its inputs."""
    folder, net = tmp_path_factory.mktemp("packed"), PackedNet()
    onnx.save(net.packed(), folder / "model.onnx")
    arrays = {name: net.rng.normal(0, 1, (17, *shape)).astype(np.float32) for name, shape in INPUTS.items()}
    np.savez(folder / "data.npz", y=np.arange(17) % 5, **arrays)
    return folder


def test_all_of_it(folder: Path) -> None:
    model = load_model(folder / "model.onnx")
    data = load_dataset(folder / "data.npz", image_size=pipeline.sample_of(model))
    quantized = pipeline.quantize(model, data, Architecture()).model
    assert [value.name for value in quantized.graph.input] == list(INPUTS)
    mod, params = pipeline.import_into_tvm(quantized, 2)
    rows = pipeline.explain(mod, params, Architecture())
    kinds = {row.op.split(".")[-1] for row in rows if not row.offloaded}
    assert not kinds & {"conv2d", "dense", "add", "max_pool2d"}
    built = pipeline.build_for_re2na(mod, params, Architecture())
    assert built.offloaded_macs_share == 1.0
    machine, cpu = built.executor(), pipeline.build_for_cpu(mod, params).executor()
    float32, batch = float_runner(model), data.read(3, 5)
    for got, same, wanted in zip(machine(batch), cpu(batch), float32(batch), strict=True):
        np.testing.assert_array_equal(got, same)
        assert got.shape == wanted.shape and snr(got, wanted) > LEAST_DB


def test_which_inputs_a_program_is_fed_with(folder: Path, shared: Path) -> None:
    """What the network computes before is none; a sequence has another shape in the program, and as many numbers."""
    model = load_model(folder / "model.onnx")
    data = load_dataset(folder / "data.npz", image_size=pipeline.sample_of(model))
    mod, params = pipeline.import_into_tvm(pipeline.quantize(model, data, Architecture()).model)
    compiled = pipeline.compile_for_re2na(mod, params, Architecture())
    names, shapes, seen = list(INPUTS), list(INPUTS.values()), set()
    for (_, program), feeds in zip(compiled.programs, compiled.feeds, strict=True):
        for tensor, index in zip(program.inputs, feeds, strict=True):
            if index is not None:
                assert np.prod(tensor.shape[1:]) == np.prod(shapes[index])
                seen.add(names[index])
    assert seen == set(INPUTS)


def test_compare_tells_the_classes_by_the_first_scores(folder: Path, shared: Path) -> None:
    """Not by the sequence that comes before them; the last batch is not full."""
    found = compare(folder / "model.onnx", folder / "data.npz", folder / "data.npz", batch=2)
    assert found.images == 17 and found.bit_identical and found.agreement > 0.9
    model = load_model(folder / "model.onnx")
    arrays = dict(np.load(folder / "data.npz"))
    batch = join_inputs({name: arrays[name] for name in INPUTS})
    assert list(by_name(batch, [])) == list(INPUTS)
    scores = float_runner(model)(batch)[1]
    assert found.float32.top1 == pytest.approx(float((scores.argmax(1) == arrays["y"]).mean()))


def test_the_quantiser_takes_arrays_by_name(folder: Path) -> None:
    arrays = {name: array for name, array in np.load(folder / "data.npz").items() if name != "y"}
    made = quickly_quantized(load_model(folder / "model.onnx"), arrays, Architecture())
    assert [value.name for value in made.graph.input] == list(INPUTS)
    one = {"sequence": arrays["sequence"]}
    with pytest.raises(
        QuantizeError, match="calibration data is of sequence, the model's inputs are sequence, vector, "
    ):
        quickly_quantized(load_model(folder / "model.onnx"), one, Architecture())
    with pytest.raises(QuantizeError, match=r"one array, the model has 6 inputs \(sequence, "):
        quickly_quantized(load_model(folder / "model.onnx"), arrays["sequence"], Architecture())
    with pytest.raises(QuantizeError, match=r"calibration data: facts has shape \(17, 5\), the model takes \('N', 6\)"):
        quickly_quantized(load_model(folder / "model.onnx"), arrays | {"facts": arrays["facts"][:, :5]}, Architecture())


def snr(got: np.ndarray, wanted: np.ndarray) -> float:
    noise = float(((got - wanted.astype(np.float64)) ** 2).sum())
    return 10 * np.log10(float((wanted.astype(np.float64) ** 2).sum()) / max(noise, 1e-30))
