"""Channels last become channels second: linear layers are convolutions, transposes go where they undo each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.onnx_form.networks import after, declared, operators
from tests.quantize.networks import FloatNet, SequenceNet
from tvm_re2na.element_wise import OF_ONE, OF_TWO

LAST, SECOND = [0, 2, 3, 1], [0, 3, 1, 2]


def last(net: FloatNet, x: str) -> str:
    return net.add("Transpose", x, perm=LAST)


def back(net: FloatNet, x: str) -> str:
    return net.add("Transpose", x, perm=SECOND)


def linear(net: FloatNet, x: str, channels: int, outputs: int) -> str:
    return net.add("Add", net.add("MatMul", x, net.random(channels, outputs)), net.random(outputs))


def gelu(net: FloatNet, x: str) -> str:
    """As exporters wrote it before ONNX had one."""
    inner = net.add("Add", net.add("Erf", net.add("Div", x, net.const(2**0.5))), net.const(1.0))
    return net.add("Mul", net.add("Mul", x, inner), net.const(0.5))


def block(net: FloatNet) -> str:
    """Of ConvNeXt."""
    x = net.conv("input", 3, 3, pads=[1, 1, 1, 1], group=3)
    x = net.add("LayerNormalization", last(net, x), net.random(3), net.random(3), axis=-1)
    x = linear(net, gelu(net, linear(net, x, 3, 8)), 8, 3)
    return net.add("Add", net.add("Mul", back(net, x), net.random(3, 1, 1)), "input")


MATMUL = ["Transpose", "Conv", "Add", "Transpose"]
GELU = ["Div", "Erf", "Add", "Mul", "Mul"]
CASES: dict[str, tuple[Callable[[FloatNet], str], list[str]]] = {
    "a block of ConvNeXt": (
        block,
        [*("Conv", "Transpose", "LayerNormalization"), *MATMUL[:3], *GELU, "Conv", "Add", "Mul", "Add"],
    ),
    "alone": (lambda n: linear(n, "input", 12, 5), MATMUL),
    "a constant first": (lambda n: n.add("MatMul", n.random(7, 12), "input"), ["MatMul"]),
    "there and back": (
        lambda n: n.conv(back(n, n.add("PRelu", n.add("Relu", last(n, "input")), n.random(3))), 3, 4),
        ["Relu", "PRelu", "Conv"],
    ),
    "constants of every shape": (
        lambda n: back(n, n.add("Mul", n.add("Sub", last(n, "input"), n.random(12, 1)), n.random(1, 1, 1, 3))),
        ["Sub", "Mul"],
    ),
    "a concatenation": (
        lambda n: back(n, n.add("Concat", last(n, "input"), n.add("Neg", last(n, "input")), axis=-1)),
        ["Neg", "Concat"],
    ),
    "of rows": (
        lambda n: back(n, n.add("Concat", last(n, "input"), last(n, n.add("Neg", "input")), axis=1)),
        ["Transpose", "Neg", "Transpose", "Concat", "Transpose"],
    ),
    "others read it": (
        lambda n: n.add("Add", n.add("Softmax", x := n.add("Relu", last(n, "input")), axis=-1), x),
        ["Relu", "Transpose", "Softmax", "Add"],
    ),
    "another order": (lambda n: n.add("Relu", n.add("Transpose", "input", perm=[0, 3, 2, 1])), ["Transpose", "Relu"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_and_what_stays(case: str) -> None:
    built, expected = CASES[case]
    net = FloatNet()
    assert operators(after(net.build(built(net)))) == expected


@pytest.mark.parametrize("op", sorted((OF_ONE | OF_TWO) - {"Clip"}))  # without bounds it is none
def test_whatever_works_element_by_element_follows(op: str) -> None:
    """Of images and of sequences."""
    net = FloatNet()
    operands, made_of = [net.const(0.5)] if op in OF_TWO else [], "Clip" if op in ("Max", "Min") else op
    x = net.add("Sigmoid", last(net, "input"))  # of which all have values
    assert operators(after(_newer(net.build(back(net, net.add(op, x, *operands)))))) == ["Sigmoid", made_of]
    sequence = SequenceNet()
    x = sequence.add("Sigmoid", sequence.conv1d("input", 4, 4))
    x = sequence.add(op, x, *[sequence.const(0.5) for _ in operands])
    made = after(_newer(sequence.build(sequence.conv1d(x, 4, 4))))
    assert operators(made) == ["Reshape", "Conv", "Sigmoid", made_of, "Conv", "Reshape"]


def _newer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Of an opset that has all of them."""
    model.opset_import[0].version = 20
    return onnx.shape_inference.infer_shapes(model)


def test_linear_layers_of_a_sequence() -> None:
    """(N, L, C): a convolution of images of one column."""
    net = FloatNet()
    net.shape = ["N", 24, 6]
    made = after(net.build(linear(net, net.add("Relu", linear(net, "input", 6, 8)), 8, 4)))
    assert operators(made) == ["Transpose", "Reshape", "Conv", "Add", "Relu", "Conv", "Add", "Reshape", "Transpose"]


def test_what_is_shown_keeps_its_axes() -> None:
    net = FloatNet()
    shown = linear(net, last(net, "input"), 3, 5)
    made = after(declared(net.build(shown, linear(net, shown, 5, 2)), ("N", 12, 12, 5), ("N", 12, 12, 2)))
    assert operators(made).count("Transpose") == 2
    assert np.all([node.op_type != "MatMul" for node in made.graph.node])
