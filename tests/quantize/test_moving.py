"""Tensors between which values only move: one exponent for what goes in and what comes out, padding values among them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.net import from_onnx


def groups(net: FloatNet, x: str, channels: int) -> dict[str, str]:
    return find_layers(from_onnx(net.build(net.conv(x, channels, 2, 1)))).group_of


@pytest.mark.parametrize(("value", "together"), [(0.5, True), (-30.0, True), (-1e9, False)])
def test_a_padding_value_that_data_may_have_shares_their_exponent(value: float, together: bool) -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    y = net.add("Pad", x, net.const([0, 0, 1, 0, 0, 0, 0, 1], np.int64), net.const(value))
    found = groups(net, y, 4)
    assert (found[x] == found[y]) == together


def test_blocks_of_pixels_share_the_exponent_of_their_channels() -> None:
    net = FloatNet()
    x = net.conv("input", 3, 8)
    y = net.add("DepthToSpace", x, blocksize=2, mode="CRD")
    found = groups(net, y, 2)
    assert found[x] == found[y]


@pytest.mark.parametrize("op", ["Max", "Min", "Sub"])
def test_operands_of_one_shape_and_their_result_share_an_exponent(op: str) -> None:
    net = FloatNet()
    x, y = net.conv("input", 3, 4), net.conv("input", 3, 4)
    z = net.add(op, x, y)
    found = groups(net, z, 4)
    assert len({found[name] for name in (x, y, z)}) == 1


@pytest.mark.parametrize("op", ["Max", "Min", "Sub"])
def test_what_is_broadcast_stays_in_float(op: str) -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    y = net.add("MaxPool", x, kernel_shape=[10, 10])
    z = net.add(op, x, y)
    found = groups(net, z, 4)
    assert found[x] == found[y] != found[z]
