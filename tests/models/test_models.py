"""The trained models on their real images: int8 accuracy, bits, overflows, and that nothing stays on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tvm_re2na import pipeline, rooms
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.evaluate import Comparison, compare

# TVM's exact integer code takes most of the time; benchmarks/accuracy.py runs all 10,000
FASHION_IMAGES = 2000 if rooms.installed() == "relay" else 400


def assert_exact(result: Comparison) -> None:
    assert result.bit_identical
    assert result.offloaded_macs_share == 1.0
    assert result.re2na.overflows == 0
    assert (result.re2na.top1, result.re2na.top5) == (result.cpu_int8.top1, result.cpu_int8.top5)
    assert 0 < result.re2na.utilisation <= 1


def test_lenet5_all_images(real_data: Path) -> None:
    result = compare(
        real_data / "lenet5_mnist.onnx",
        real_data / "mnist_test.npz",
        real_data / "mnist_calib512.npz",
        batch=10,
    )
    assert_exact(result)
    assert result.images == 10_000
    assert result.float32.top1 == pytest.approx(0.9948)
    assert result.re2na.top1 >= result.float32.top1 - 0.0005


def test_lenet5_of_the_demo(demo_data: Path) -> None:
    result = compare(
        demo_data / "lenet5_mnist.onnx",
        demo_data / "mnist_test1000.npz",
        demo_data / "mnist_calibration128.npz",
        batch=10,
    )
    assert_exact(result)
    assert result.re2na.top1 >= result.float32.top1 - 0.002


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_fashion_mnist(real_data: Path, name: str) -> None:
    calibration = load_dataset(real_data / "fmnist64_calib512.npz", 256)
    model = real_data / f"{name}_fmnist64.onnx"
    result = compare(model, real_data / "fmnist64_test.npz", calibration, limit=FASHION_IMAGES)
    assert_exact(result)
    assert result.re2na.top1 >= result.float32.top1 - 0.005
    assert result.agreement >= 0.95


def test_efficientnet_lite0_on_photographs(real_data: Path) -> None:
    """True ImageNet weights: the labelled photographs first, against TVM's CPU in int8."""
    data = load_dataset(real_data / "photos224.npz")
    model = pipeline.load_model(real_data / "efficientnet_lite0_imagenet.onnx")
    arch = Architecture()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, data, arch))
    re2na = pipeline.build_for_re2na(mod, params, arch)
    on_re2na, on_cpu = re2na.executor(), pipeline.build_for_cpu(mod, params).executor()
    assert re2na.programs
    labelled = np.flatnonzero(data.y >= 0)
    for index in labelled:
        image = data.read(index, index + 1)
        np.testing.assert_array_equal(on_re2na(image)[0], on_cpu(image)[0])
