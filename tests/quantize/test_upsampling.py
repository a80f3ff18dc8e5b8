"""A Resize that selects pixels keeps the exponent of what it reads; one that interpolates has its own."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from tests.quantize.networks import FloatNet
from tests.quantize.test_pools import made, operators
from tvm_re2na.quantize import quantize
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.net import from_onnx


def upsampled(**how: Any) -> tuple[FloatNet, onnx.ModelProto]:
    """Between two convolutions."""
    net = FloatNet(seed=6)
    x = net.add("Resize", net.conv("input", 3, 8), "", net.const([1, 1, 2, 3]), **how)
    return net, net.build(net.conv(x, 8, 4))


def scales(model: onnx.ModelProto) -> list[float]:
    """Of the DequantizeLinear before and the QuantizeLinear behind the Resize."""
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    before = next(node for node in model.graph.node if node.output[0] == resize.input[0])
    behind = next(node for node in model.graph.node if node.input[0] == resize.output[0])
    assert (before.op_type, behind.op_type) == ("DequantizeLinear", "QuantizeLinear")
    return [float(constants[node.input[1]]) for node in (before, behind)]


@pytest.mark.parametrize("bits", [8, 6])
def test_selected_pixels_have_one_exponent_and_are_quantised_once(bits: int) -> None:
    net, model = upsampled(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    quantized, found = made(net, model, activation_bits=bits)
    before, behind = scales(quantized.model)
    assert before == behind and found > (30 if bits == 8 else 18)
    kinds = [node.op_type for node in quantized.model.graph.node]
    assert kinds.count("Resize") == 1
    resize = kinds.index("Resize")
    assert kinds[resize + 1] == "QuantizeLinear", "what is selected is within the range already"


@pytest.mark.parametrize("how", [{"mode": "linear"}, {"coordinate_transformation_mode": "tf_crop_and_resize"}], ids=str)
def test_what_is_interpolated_or_filled_up_is_no_member_of_the_group(how: dict[str, str]) -> None:
    groups = [find_layers(from_onnx(upsampled(**chosen)[1])).group_of for chosen in ({}, how)]
    before, behind = "conv_0", "resize_1"
    assert groups[0][before] == groups[0][behind] and groups[1][before] != groups[1][behind]


def test_an_upsample_of_an_old_file_becomes_a_resize() -> None:
    net = FloatNet(seed=6)
    x = net.add("Upsample", net.conv("input", 3, 8), net.const([1, 1, 2, 2]), mode="nearest")
    model = net.build(net.conv(x, 8, 4))
    model.opset_import[0].version = 9
    quantized = quantize(model, net.images(8)).model
    assert operators(quantized) == {"Conv", "Resize"}
    before, behind = scales(quantized)
    assert before == behind
