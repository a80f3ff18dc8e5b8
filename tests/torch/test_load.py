"""QDQ files as PyTorch modules: the bits of Re²Na, which are TVM's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from tests.quantize.networks import residual_model
from tests.shared import Networks
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.frontends.interface import Runner
from tvm_re2na.quantize import quantize
from tvm_re2na.torch import LoadError, from_onnx


def assert_same_bits(module: torch.nn.Module, executor: Runner, images: np.ndarray, batch: int) -> None:
    for start in range(0, len(images), batch):
        part = np.ascontiguousarray(images[start : start + batch])
        with torch.no_grad():
            np.testing.assert_array_equal(module(torch.tensor(part)).numpy(), executor(part)[0])


def built(model: onnx.ModelProto, arch: Architecture, batch: int) -> Runner:
    return pipeline.build_for_re2na(*pipeline.import_into_tvm(model, batch), arch).executor()


@pytest.mark.parametrize("bits", [8, 5, 2])
def test_lenet5(demo_data: Path, bits: int) -> None:
    arch, known = Architecture(data_bits=bits), load_dataset(demo_data / "mnist_calibration128.npz").x
    model = quantize(demo_data / "lenet5_mnist.onnx", known, arch=arch).model
    assert_same_bits(from_onnx(model, arch=arch), built(model, arch, 64), known, 64)


def test_a_residual_network() -> None:
    model, images = residual_model()
    model, count = quantize(model, images).model, len(images)
    assert_same_bits(from_onnx(model), built(model, Architecture(), count), images, count)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 16), ("alexnet", 16), ("efficientnet", 2)])
def test_real_networks(real_data: Path, networks: Networks, name: str, count: int) -> None:
    known = networks.efficientnet(real_data) if name == "efficientnet" else networks.fashion(real_data, name)
    assert_same_bits(from_onnx(known.quantized), known.re2na.executor(), known.calibration.x[:count], 1)


def test_what_is_not_exact_is_named(demo_data: Path) -> None:
    known = load_dataset(demo_data / "mnist_calibration128.npz", 16).x
    good = quantize(demo_data / "lenet5_mnist.onnx", known).model
    for name, value, message in (
        ("input.scale", np.float32(0.03), "is no power of two"),
        ("input.zero", np.int8(3), "zero point 3 of int8, expected 0"),
    ):
        bad = onnx.ModelProto.FromString(good.SerializeToString())
        (item,) = [item for item in bad.graph.initializer if item.name == name]
        item.CopyFrom(onnx.numpy_helper.from_array(np.array(value), name))
        with pytest.raises(LoadError, match=message):
            from_onnx(bad)
    with pytest.raises(LoadError, match=r"not quantised|no int8 constant"):
        from_onnx(demo_data / "lenet5_mnist.onnx")
