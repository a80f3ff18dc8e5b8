"""Networks whose every step is spelt in one of the ways in which exporters spell it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto

from tests.onnx_form.networks import after, declared, operators
from tests.quantize.networks import FloatNet

CHANNELS, CLASSES = 4, 5
Spelling = Callable[[FloatNet, str], str]


def ints(net: FloatNet, *values: int) -> str:
    return net.const(values, np.int64)


def plain(net: FloatNet, x: str) -> str:
    return net.conv(x, CHANNELS, CHANNELS, pads=[1, 1, 1, 1])


def same(net: FloatNet, x: str) -> str:
    return net.conv(x, CHANNELS, CHANNELS, auto_pad="SAME_LOWER")


def cast_weight(net: FloatNet, x: str) -> str:
    weight = net.const(net.rng.normal(0, 0.2, (CHANNELS, CHANNELS, 3, 3)), np.float64)
    return net.add("Conv", x, net.add("Cast", weight, to=TensorProto.FLOAT), pads=[1, 1, 1, 1])


def scaled_weight(net: FloatNet, x: str) -> str:
    weight = net.add("Mul", net.random(CHANNELS, CHANNELS, 1, 1), net.add("Sqrt", net.const([[[[0.5]]]])))
    bias = net.add("Reshape", net.random(1, CHANNELS), ints(net, -1))
    return net.add("Conv", x, weight, net.add("Identity", bias))


def relu(net: FloatNet, x: str) -> str:
    return net.add("Relu", x)


def clip(net: FloatNet, x: str) -> str:
    return net.add("Clip", x, net.const(0.0), net.const(np.inf))


def open_clip(net: FloatNet, x: str) -> str:
    return net.add("Clip", x, net.const(-np.inf), net.add("Neg", net.const(-2.0)))


def nothing(net: FloatNet, x: str) -> str:
    return net.add("Identity", net.add("Dropout", x))


def pool(net: FloatNet, x: str) -> str:
    return net.add("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")


def padded_pool(net: FloatNet, x: str) -> str:
    padded = net.add("Pad", x, ints(net, 0, 0, 1, 1, 0, 0, 1, 1), net.const(-np.inf))
    return net.add("MaxPool", padded, kernel_shape=[3, 3])


def rounded_up_pool(net: FloatNet, x: str) -> str:
    return net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)


def computed_shape(net: FloatNet, x: str) -> str:
    return net.add("Reshape", x, net.add("Shape", x))


def view(net: FloatNet, x: str) -> str:
    batch = net.add("Slice", net.add("Shape", x), ints(net, 0), ints(net, 1))
    return net.add("Reshape", x, net.add("Concat", batch, ints(net, -1), axis=0))


def flatten(net: FloatNet, x: str) -> str:
    return net.add("Flatten", x)


def mean(net: FloatNet, x: str) -> str:
    return net.add("ReduceMean", x, axes=[-2, -1], keepdims=0)


def squeezed(net: FloatNet, x: str) -> str:
    return net.add("Squeeze", net.add("GlobalAveragePool", x), ints(net, 2, 3))


STEPS: list[Spelling] = [
    *(plain, same, cast_weight, scaled_weight, relu, clip, open_clip, nothing, pool, padded_pool, computed_shape),
    rounded_up_pool,
]
ENDS: list[Spelling] = [view, flatten, mean, squeezed]


@pytest.mark.parametrize("seed", range(24))
def test_the_function_stays(seed: int) -> None:
    net = FloatNet(channels=CHANNELS, size=9, seed=seed, batch=("N", 1, 3)[seed % 3])
    x = "input"
    for step in net.rng.choice(np.array(STEPS, object), 6):
        x = step(net, x)
    x = ENDS[seed % len(ENDS)](net, x)
    if ENDS[seed % len(ENDS)] in (mean, squeezed):
        bias = net.random(*((1, CLASSES), (CLASSES,), (1,))[seed % 3])
        x = net.add("Gemm", x, net.random(CHANNELS, CLASSES), bias, beta=0.5)
    model = declared(net.build(x), ("n", "classes"))
    left = set(operators(after(model)))
    assert not left & {"Shape", "Slice", "Concat", "Cast", "Reshape", "Squeeze", "ReduceMean", "Mul", "Sqrt", "Pad"}
