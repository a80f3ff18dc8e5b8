"""The trained models on their real images: int8 accuracy, bits, overflows, and that nothing stays on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shared import Networks
from tvm_re2na import frontends
from tvm_re2na.data import load_dataset
from tvm_re2na.dataset import Dataset
from tvm_re2na.evaluate import Comparison, compare, float_runner
from tvm_re2na.float_runner import BatchRunner
from tvm_re2na.runtime import library

BITS = 200  # images whose bits are compared with the CPU's; benchmarks/accuracy.py compares those of all 10,000
ACCURACY = 2000 if frontends.installed() == "relay" else 400  # images that the float model and Re²Na classify

pytestmark = pytest.mark.usefixtures("shared")
fashion_mnist = pytest.mark.parametrize("name", ["resnet18", "alexnet"])


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


@fashion_mnist
def test_fashion_mnist(real_data: Path, networks: Networks, name: str) -> None:
    network = networks.fashion(real_data, name)
    result = compare(network.model, real_data / "fmnist64_test.npz", network.calibration, limit=BITS)
    assert_exact(result)
    assert result.agreement >= 0.95  # accuracy is claimed of more images, below


@fashion_mnist
def test_accuracy_on_fashion_mnist(real_data: Path, networks: Networks, name: str) -> None:
    network, data = networks.fashion(real_data, name), load_dataset(real_data / "fmnist64_test.npz", ACCURACY)
    library.bridge_reset()
    quantized, in_float = classes(network.re2na.executor(), data, 1), classes(float_runner(network.model), data, 100)
    assert library.bridge_totals()["overflows"] == 0
    top1, float_top1 = (float((found == data.y).mean()) for found in (quantized, in_float))
    assert top1 >= float_top1 - 0.005
    assert (quantized == in_float).mean() >= 0.95


def classes(run: BatchRunner, data: Dataset, batch: int) -> np.ndarray:
    return np.concatenate([run(images)[0].argmax(1) for _, images in data.batches(batch)])


def test_efficientnet_lite0_on_photographs(real_data: Path, networks: Networks) -> None:
    """True ImageNet weights: the labelled photographs, against TVM's CPU in int8."""
    network = networks.efficientnet(real_data)
    data = load_dataset(real_data / "photos224.npz")
    labelled = np.flatnonzero(data.y >= 0)
    assert len(labelled) == 5
    library.bridge_reset()
    on_re2na, on_cpu = network.re2na.executor(), network.cpu.executor()
    for index in labelled:
        image = data.read(index, index + 1)
        np.testing.assert_array_equal(on_re2na(image)[0], on_cpu(image)[0])
    assert library.bridge_totals()["macs"], "something is offloaded"
