"""Functions of single numbers: what they begin and end with is quantised, nothing between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na.quantize import quantize

Write = Callable[[FloatNet, str], str]


def sigmoid(net: FloatNet, x: str) -> str:
    return net.add("Mul", x, net.add("Sigmoid", x))


def hard_swish(net: FloatNet, x: str) -> str:
    """As some exporters write it: the bounds of the clip lie within it."""
    shifted = net.add("Add", x, net.const(3.0))
    clipped = net.add("Clip", shifted, net.const(0.0), net.const(6.0))
    return net.add("Div", net.add("Mul", x, clipped), net.const(6.0))


def gelu_of_tanh(net: FloatNet, x: str) -> str:
    """With an addition of two tensors, which is no residual one."""
    cube = net.add("Mul", net.add("Pow", x, net.const(3.0)), net.const(0.044715))
    bent = net.add("Tanh", net.add("Mul", net.add("Add", x, cube), net.const(0.79788)))
    return net.add("Mul", net.add("Mul", x, net.add("Add", bent, net.const(1.0))), net.const(0.5))


def elu_of_parts(net: FloatNet, x: str) -> str:
    """Begins with clamps of what a convolution made."""
    below = net.add("Sub", net.add("Exp", net.add("Min", x, net.const(0.0))), net.const(1.0))
    return net.add("Add", net.add("Relu", x), below)


def quantised(model: onnx.ModelProto) -> set[str]:
    """The tensors that are."""
    return {node.input[0].removesuffix(".float") for node in model.graph.node if node.op_type == "QuantizeLinear"}


@pytest.mark.parametrize("write", [sigmoid, hard_swish, gelu_of_tanh, elu_of_parts])
@pytest.mark.parametrize("kernel", [3, 12])
def test_nothing_within_is_quantised(write: Write, kernel: int) -> None:
    """Nor where the data are vectors, of which any two make a product by channel."""
    net = FloatNet()
    x = net.conv("input", 3, 8, kernel=kernel)
    y = write(net, x)
    result = net.conv(y, 8, 4, kernel=1)
    assert quantised(quantize(net.build(result), net.images()).model) == {"input", x, y, result}


def test_what_others_read_is_quantised_as_they_ask() -> None:
    """One function is read by an addition, a pooling and another function: it ends there."""
    net = FloatNet()
    x = net.conv("input", 3, 8, pads=[1, 1, 1, 1])
    first = net.add("HardSwish", x)
    second = net.add("LeakyRelu", first, alpha=0.1)
    total = net.add("Add", net.conv(second, 8, 8, kernel=1), first)
    pooled = net.add("MaxPool", first, kernel_shape=[2, 2])
    ends = net.conv(total, 8, 4, kernel=1), net.conv(pooled, 8, 4, kernel=1)
    found = quantised(quantize(net.build(*ends), net.images()).model)
    assert {x, first, second, total, pooled} <= found


def test_clamps_alone_keep_the_exponent() -> None:
    net = FloatNet()
    x = net.add("MaxPool", net.conv("input", 3, 8), kernel_shape=[2, 2])
    y = net.add("Clip", net.add("Relu", x), net.const(-1.0), net.const(0.9))
    model = quantize(net.build(net.conv(y, 8, 4, kernel=1)), net.images()).model
    scales = {
        node.input[0].removesuffix(".float"): node.input[1]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert values[scales[x]] == values[scales[y]]


def test_what_reads_two_tensors_is_no_function() -> None:
    """A gate of another convolution: a product, with both operands quantised."""
    net = FloatNet()
    x = net.conv("input", 3, 8)
    gate = net.add("Sigmoid", net.conv(net.add("GlobalAveragePool", x), 8, 8, kernel=1))
    product = net.add("Mul", x, gate)
    found = quantised(quantize(net.build(net.conv(product, 8, 4, kernel=1)), net.images()).model)
    assert {x, gate, product} <= found


def test_numbers_of_their_channel_are_no_part_of_a_function() -> None:
    net = FloatNet()
    x = net.conv("input", 3, 8)
    scaled = net.add("Mul", net.add("Sigmoid", x), net.const(np.arange(8.0).reshape(8, 1, 1)))
    result = net.conv(scaled, 8, 4, kernel=1)
    assert {"input", x, result} <= quantised(quantize(net.build(result), net.images()).model)
