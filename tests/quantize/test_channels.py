"""What is put side by side, or taken apart, has one exponent with what it is made of, and is within its range already."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tests.quantize.test_pools import made
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.net import from_onnx


def taken(net: FloatNet, op: str, x: str) -> str:
    if op == "Gather":
        return net.add("Gather", x, net.const([5, 0, 2, 1], np.int64), axis=1)
    return net.add("Slice", x, *(net.const([number], np.int64) for number in (1, 5, 1)))


def branched(op: str) -> tuple[FloatNet, onnx.ModelProto]:
    """A part of one convolution beside another one, and a third behind both."""
    net = FloatNet(seed=8)
    part = taken(net, op, net.conv("input", 3, 8))
    joined = net.add("Concat", part, net.conv("input", 3, 6), axis=1)
    return net, net.build(net.conv(joined, 10, 4))


@pytest.mark.parametrize("op", ["Gather", "Slice"])
def test_they_are_of_one_group(op: str) -> None:
    group_of = find_layers(from_onnx(branched(op)[1])).group_of
    members = {
        name: group for name, group in group_of.items() if name.startswith(("conv", "gather", "slice", "concat"))
    }
    behind = members.pop("conv_4")
    assert len(members) == 4 and len(set(members.values())) == 1 and behind not in members.values()


@pytest.mark.parametrize("bits", [8, 6])
@pytest.mark.parametrize("op", ["Gather", "Slice"])
def test_they_are_quantised_once(op: str, bits: int) -> None:
    net, model = branched(op)
    quantized, found = made(net, model, activation_bits=bits)
    assert found > (28 if bits == 8 else 16)
    nodes = quantized.model.graph.node
    for kind in (op, "Concat"):
        (node,) = (node for node in nodes if node.op_type == kind)
        (behind,) = (other for other in nodes if node.output[0] in other.input)
        assert behind.op_type == "QuantizeLinear"


def test_numbers_of_constants_are_none() -> None:
    """A Gather of a table by what is computed is no choice of activations."""
    net = FloatNet(seed=8)
    model: Any = net.build(
        net.add("Gather", net.random(5, 4), net.const([1, 2], np.int64), axis=0), net.conv("input", 3, 4)
    )
    assert "gather_0" not in find_layers(from_onnx(model)).group_of
