"""Averages and maxima: all of them in integers, and none sets the scales of what is around it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet, run
from tvm_re2na.quantize import Guarantee, QuantizedModel, QuantizeOptions, quantize
from tvm_re2na.quantize.scales import nearest, rounded

WEIGHTS = (-128, 127)


def snr(got: np.ndarray, wanted: np.ndarray) -> float:
    assert got.shape == wanted.shape
    noise = np.square(got.astype(np.float64) - wanted).sum()
    return float(10 * np.log10(np.square(wanted.astype(np.float64)).sum() / max(noise, 1e-30)))


def made(net: FloatNet, model: onnx.ModelProto, **options: object) -> tuple[QuantizedModel, float]:
    """Quantised on half of the images, and its signal over noise on all."""
    images = net.images(32)
    quantized = quantize(model, images[::2], options=QuantizeOptions(**options))  # type: ignore[arg-type]
    return quantized, snr(run(quantized.model, images), run(model, images))


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node} - {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("size", [2, 3, 7, 14, 20, 21, 31, 56, 112])
@pytest.mark.parametrize("behind", ["Squeeze", "Reshape", ""])
def test_a_global_average_of_any_size(size: int, behind: str) -> None:
    net = FloatNet(channels=1, size=size, seed=size)
    x = net.add("GlobalAveragePool", net.add("Relu", net.conv("input", 1, 4, pads=[1, 1, 1, 1])))
    arguments = {"Squeeze": [net.const([2, 3], np.int64)], "Reshape": [net.const([0, -1], np.int64)]}
    if behind:
        x = net.gemm(net.add(behind, x, *arguments.get(behind, [])), 4, 5)
    quantized, found = made(net, net.build(x))
    assert operators(quantized.model) == {"Conv", "Relu"} | ({"Flatten", "Gemm"} if behind else set())
    assert found > 28 and all(layer.observed_max <= layer.limit for layer in quantized.report.layers)


@pytest.mark.parametrize("kernel", [2, 3, 5, 7, 21])
@pytest.mark.parametrize(("stride", "behind"), [(1, True), (2, False)])
def test_windows(kernel: int, stride: int, behind: bool) -> None:
    net = FloatNet(size=24, seed=kernel)
    pool = {"kernel_shape": [kernel] * 2, "strides": [stride, 1], "pads": [kernel // 2] * 4, "count_include_pad": 1}
    x = net.add("AveragePool", net.conv("input", 3, 4), **pool)
    quantized, found = made(net, net.build(net.conv(x, 4, 6, kernel=1) if behind else x))
    assert operators(quantized.model) == {"Conv"} and found > 30


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_an_average_under_every_guarantee(guarantee: Guarantee) -> None:
    net = FloatNet(size=28)
    model = net.build(net.add("GlobalAveragePool", net.add("Relu", net.conv("input", 3, 4))))
    quantized, found = made(net, model, guarantee=guarantee)
    assert operators(quantized.model) == {"Conv", "Relu"} and found > 28


@pytest.mark.parametrize("count", [3, 5, 9, 15, 16, 49])
def test_weights_of_an_average_keep_their_sum(count: int) -> None:
    weight = np.full((2, 1, 1, count), 1 / count, np.float32)
    integers = rounded(weight, -8, WEIGHTS)
    assert (integers.sum((1, 2, 3)) == min(256, 127 * count)).all() and np.ptp(integers) <= 1
    other = np.random.default_rng(0).normal(0, 0.1, (2, 1, 1, count))
    np.testing.assert_array_equal(rounded(other, -8, WEIGHTS), nearest(other, -8, WEIGHTS))


@pytest.mark.parametrize("value", [-128.0, -3.4e38, -5.0, -0.5, 0.75, 4.0])
@pytest.mark.parametrize("signed", [True, False])
def test_padding_before_a_maximum_sets_no_scale(value: float, signed: bool) -> None:
    """All windows hold a number of the image: what is far below it all is never a maximum."""
    net = FloatNet(size=8, seed=3)
    x = net.conv("input", 3, 4, pads=[1, 1, 1, 1])
    padded = net.add("Pad", x if signed else net.add("Relu", x), *pad(net, value))
    quantized, found = made(net, net.build(net.add("MaxPool", padded, kernel_shape=[3, 3], strides=[2, 2])))
    assert found > 30
    low = value < -3 or (not signed and value < 0)
    assert ("Pad" in operators(quantized.model)) != low


def test_padding_that_is_a_maximum_is_held() -> None:
    net = FloatNet(size=8, seed=3)
    padded = net.add("Pad", net.conv("input", 3, 4), *pad(net, -20.0, 2))
    quantized, found = made(net, net.build(net.add("MaxPool", padded, kernel_shape=[2, 2], strides=[2, 2])))
    assert "Pad" in operators(quantized.model) and found > 25


def test_padding_that_others_read_is_held() -> None:
    net = FloatNet(size=8, seed=3)
    padded = net.add("Pad", net.conv("input", 3, 4), *pad(net, -20.0))
    pooled = net.add("MaxPool", padded, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    assert made(net, net.build(net.add("Add", pooled, padded)))[1] > 25


@pytest.mark.parametrize("value", [0.5, -1e30])
@pytest.mark.parametrize("behind", ["Conv", "GlobalAveragePool"])
def test_padding_before_sums_has_a_scale_of_its_own(value: float, behind: str) -> None:
    net = FloatNet(size=8, seed=3)
    padded = net.add("Pad", net.add("Relu", net.conv("input", 3, 4)), *pad(net, value))
    y = net.conv(padded, 4, 4) if behind == "Conv" else net.add(behind, padded)
    quantized, found = made(net, net.build(net.conv(y, 4, 2, 1)))
    assert "Pad" in operators(quantized.model) and found > 25


def pad(net: FloatNet, value: float, width: int = 1) -> list[str]:
    return [net.const([0, 0, width, width, 0, 0, width, width], np.int64), net.const(value)]
