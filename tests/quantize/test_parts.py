"""Channels that need steps far coarser than the others' are computed in a layer of their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from tests.quantize.networks import FloatNet, run
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.decibels import decibels
from tvm_re2na.progress import silent
from tvm_re2na.quantize import QuantizedModel, QuantizeError, QuantizeOptions, quantize
from tvm_re2na.quantize.balance import balance
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.importance import Importance, moments
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.net import to_onnx
from tvm_re2na.quantize.observe import largest_by_channel
from tvm_re2na.quantize.parts import split_layers
from tvm_re2na.quantize.plan import QuantizationPlan

WHOLE = QuantizeOptions(split_layers=False, equalise=False)
PARTS = QuantizeOptions(equalise=False)
FloatArray = npt.NDArray[np.float32]


def model() -> tuple[onnx.ModelProto, FloatArray]:
    """The channels 1, 4 and 9 of a convolution, and 2 of one by channel, are edges: their weights are sixty times the others'."""
    net = FloatNet(size=16)
    weight = net.rng.normal(0, 0.2, (12, 3, 3, 3))
    weight[[1, 4, 9]] *= 60
    x = net.add("Clip", net.add("Conv", "input", net.const(weight), net.random(12)), net.const(0.0), net.const(6.0))
    weight = net.rng.normal(0, 0.3, (12, 1, 3, 3))
    weight[2] *= 60
    x = net.add("Relu", net.add("Conv", x, net.const(weight), net.random(12), group=12, pads=[1, 1, 1, 1]))
    weight = net.rng.normal(0, 0.3, (5, 12, 1, 1))
    weight[:, 2] /= 60
    return net.build(net.add("Conv", x, net.const(weight), net.random(5))), net.images(32)


def signal(made: QuantizedModel, images: FloatArray) -> float:
    """In dB over noise."""
    wanted, found = run(model()[0], images), run(made.model, images)
    return decibels(float(np.square(wanted).sum()), float(np.square(wanted - found).sum())) or np.inf


def test_parts_have_steps_of_their_own() -> None:
    float_model, images = model()
    whole, parts = (quantize(float_model, images, options=options) for options in (WHOLE, PARTS))
    unseen = np.random.default_rng(7).normal(0, 1, images.shape).astype(np.float32)
    assert signal(parts, unseen) > signal(whole, unseen) + 4
    exponents = {layer.name: layer.e_w for layer in parts.report.layers}
    assert [name for name in exponents if name.startswith("conv_0")] == ["conv_0.part1", "conv_0.part2"]
    assert exponents["conv_0.part1"] < exponents["conv_0.part2"] - 2
    assert exponents["conv_2.part1"] < exponents["conv_2.part2"] - 2
    scales = [item for item in parts.model.graph.initializer if ".scale" in item.name]
    assert scales and all(numpy_helper.to_array(scale).shape == () for scale in scales)


def test_in_float_nothing_changes() -> None:
    """Channels come back in their order, whatever reads them."""
    float_model, images = model()
    net = load_net(float_model)
    fold(net)
    layers = find_layers(net).layers
    names = [name for layer in layers for name in (layer.source, layer.sums)]
    largest = largest_by_channel(net, list(dict.fromkeys(names)), images, silent, "")
    split_layers(net, layers, largest, Architecture(), PARTS, Importance(net, moments(net, images)))
    assert [node.op for node in net.nodes].count("Conv") >= 5
    np.testing.assert_allclose(run(to_onnx(net), images), run(float_model, images), rtol=1e-4, atol=1e-3)


def test_layers_of_equal_channels_stay_whole() -> None:
    net = FloatNet(size=16)
    x = net.add("Relu", net.conv("input", 3, 12))
    made = quantize(net.build(net.conv(x, 12, 4)), net.images(32))
    assert [layer.name for layer in made.report.layers] == ["conv_0", "conv_2"]


def test_a_part_is_named_as_the_report_names_it() -> None:
    float_model, images = model()
    made = quantize(float_model, images, options=QuantizeOptions(keep_float=frozenset(["conv_0.part2"])))
    assert not [layer.name for layer in made.report.layers if layer.name.startswith("conv_0")]
    with pytest.raises(QuantizeError, match=r"keep_float: 'conv_9' is no operator"):
        quantize(float_model, images, options=QuantizeOptions(keep_float=frozenset(["conv_9.part2"])))


def test_noise_that_nobody_hears_has_no_weight() -> None:
    """Of two channels that are alike the next layer reads the first one ten times as loud; an activation passes half of either."""
    net = FloatNet(channels=2, size=8)
    same = net.const(np.ones((2, 1, 1, 1)))
    x = net.add("Conv", "input", same, net.const(np.zeros(2)), group=2)
    y = net.add("Conv", net.add("Relu", x), net.const([[[[10.0]], [[1.0]]]]), net.const([0.0]))
    built = load_net(net.build(y))
    fold(built)
    importance = Importance(built, moments(built, net.images(16)))
    weights = importance.of("conv_0")
    assert weights[0] / weights[1] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(("x_error", "expected"), [(1e-5, (-5, -9)), (1e-2, (-6, -8))])
def test_inputs_give_up_a_step_where_weights_gain_more(x_error: float, expected: tuple[int, int]) -> None:
    """Weights that the sums hold down by a step, 0.01 with steps of 2**-8; errors grow fourfold with each step."""
    net = FloatNet(size=8)
    x = net.add("Relu", net.conv("input", 3, 4))
    weight = net.const(net.rng.uniform(-0.01, 0.01, (4, 4, 3, 3)))
    built = load_net(net.build(net.add("Conv", x, weight, net.const(np.zeros(4)))))
    quantised = find_layers(built)
    group = dict.fromkeys(quantised.groups, 2) | {quantised.group_of[x]: -6}
    plan = QuantizationPlan(quantised, (-128, 127), (-128, 127), group, {"conv_0": -8, "conv_2": -8})
    balance(built, plan, lambda name, exponent: x_error * 4.0 ** (exponent + 6))
    assert (plan.exponent(x), plan.weight["conv_2"]) == expected
    assert (quantised.group_of[x] in plan.balanced) == (expected[0] == -5)
