"""A product by one factor for each channel is quantised: its operands and its result have an exponent each."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tests.quantize.test_pools import made
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.net import from_onnx
from tvm_re2na.quantize.plan import SPARE_BITS, QuantizationPlan


def excited(swapped: bool, scale: float = 1.0, activation: str = "") -> tuple[FloatNet, onnx.ModelProto]:
    """Squeeze-and-excitation between two convolutions; `scale`: how large the factors are, about."""
    net = FloatNet(seed=8)
    x = net.conv("input", 3, 8, pads=[1, 1, 1, 1])
    factors = net.add(
        "Conv", net.add("GlobalAveragePool", x), net.random(8, 8, 1, 1, scale=scale), net.random(8, scale=scale)
    )
    product = net.add("Mul", *((factors, x) if swapped else (x, factors)))
    if activation:
        product = net.add(activation, product)
    return net, net.build(net.conv(product, 8, 4))


def exponents(model: onnx.ModelProto, name: str) -> int:
    """Of a tensor's quantiser."""
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    return int(np.log2(constants[f"{name}.scale"]))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("activation", ["", "Relu"])
@pytest.mark.parametrize("scale", [1.0, 1 / 64])
def test_it_is_quantised_and_cut(swapped: bool, activation: str, scale: float) -> None:
    net, model = excited(swapped, scale, activation)
    quantized, found = made(net, model)
    assert found > 24
    (product,) = (node for node in model.graph.node if node.op_type == "Mul")
    result = next((n.output[0] for n in model.graph.node if n.op_type == activation), product.output[0])
    lsb = exponents(quantized.model, result) - sum(exponents(quantized.model, name) for name in product.input)
    assert 0 <= lsb <= 16
    kinds = [node.op_type for node in quantized.model.graph.node]
    assert kinds.count("QuantizeLinear") == 6, "input, x, average, factors, product, output"


def test_of_every_product_bits_are_cut_off() -> None:
    """However fine the result may be: the machine shifts right only."""
    net = from_onnx(excited(swapped=False)[1])
    fold(net)
    quantised = find_layers(net)
    plan = QuantizationPlan(quantised, (-128, 127), (-128, 127), dict.fromkeys(quantised.group_of.values(), -6), {})
    plan.group[quantised.group_of["mul_3"]] = -20
    assert plan.fit_products() and plan.exponent("mul_3") == -12 + SPARE_BITS
    assert not plan.fit_products(), "twice is as good as once"


def groups(model: onnx.ModelProto, keep_float: tuple[str, ...] = ()) -> dict[str, str]:
    net = from_onnx(model)
    fold(net)
    return find_layers(net, keep_float).group_of


def test_each_has_a_group_of_its_own() -> None:
    _, model = excited(swapped=False)
    found = groups(model)
    assert len({found[name] for name in ("conv_0", "conv_2", "mul_3")}) == 3
    assert "mul_3" in groups(model, ("mul_3",)), "a convolution reads it"


def test_any_other_product_has_none() -> None:
    net = FloatNet(seed=8)
    x, y = net.conv("input", 3, 8), net.conv("input", 3, 8)
    assert "mul_2" not in groups(net.build(net.add("Mul", x, y)))
