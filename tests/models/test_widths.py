"""Machines of any width, rounding and accumulator: whole networks keep TVM's bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.quantize.networks import FloatNet, residual_model
from tvm_re2na.codegen.arch import AccOverflow, Architecture, Rounding
from tvm_re2na.data import load_dataset
from tvm_re2na.dataset import Dataset
from tvm_re2na.evaluate import Comparison, compare
from tvm_re2na.quantize import quantize

MACHINES = [
    Architecture(data_bits=bits, rounding=rounding, acc_overflow=overflow)
    for bits, rounding, overflow in [
        (5, Rounding.HALF_UP, AccOverflow.WRAP),
        (4, Rounding.TRUNCATE, AccOverflow.SATURATE),
        (3, Rounding.HALF_UP, AccOverflow.WRAP),
        (2, Rounding.HALF_UP, AccOverflow.WRAP),
    ]
]
machines = pytest.mark.parametrize(
    "arch", MACHINES, ids=lambda a: f"{a.data_bits}-{a.rounding.name}-{a.acc_overflow.name}"
)


def dataset(x: np.ndarray) -> Dataset:
    return Dataset("made", x.shape[1:], None, len(x), lambda start, stop: x[start:stop])


def assert_exact(result: Comparison) -> None:
    assert result.bit_identical
    assert result.offloaded_macs_share == 1.0
    assert result.re2na.overflows == 0


@machines
def test_lenet5(demo_data: Path, arch: Architecture) -> None:
    images, known = (load_dataset(demo_data / name, 64) for name in ("mnist_test1000.npz", "mnist_calibration128.npz"))
    assert_exact(compare(demo_data / "lenet5_mnist.onnx", images, known, arch, batch=16))


@machines
def test_a_residual_network(arch: Architecture) -> None:
    model, images = residual_model()
    assert_exact(compare(model, dataset(images), dataset(images), arch, batch=len(images)))


@pytest.mark.parametrize("high", [1.0, 6.0])
@pytest.mark.parametrize("bits", [8, 3])
def test_clipped_activations(high: float, bits: int) -> None:
    """ReLU1 and ReLU6."""
    net = FloatNet(seed=3)
    x = net.add("Clip", net.conv("input", 3, 8), net.const(0.0), net.const(high))
    model = net.build(net.conv(x, 8, 6, kernel=1))
    assert_exact(compare(model, dataset(net.images()), dataset(net.images()), Architecture(data_bits=bits), batch=16))


@pytest.mark.parametrize("acc_bits", [2, 5, 9, 32])
def test_accumulators_of_any_width(acc_bits: int) -> None:
    """The scales follow the accumulator, down to two bits, where next to nothing is left of a network."""
    net = FloatNet(seed=4)
    x = net.add("Relu", net.conv("input", 3, 4, kernel=1))
    model = net.build(net.conv(x, 4, 4, kernel=1))
    arch = Architecture(acc_bits=acc_bits, data_bits=min(acc_bits, 8))
    report = quantize(model, net.images(), arch=arch).report
    assert all(layer.observed_max <= arch.acc_max for layer in report.layers)
    assert_exact(compare(model, dataset(net.images()), dataset(net.images()), arch, batch=16))
