"""The rewrites before quantisation keep the float function."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet, residual_model, run
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.pool import pools_to_convolutions


def folded(model: onnx.ModelProto) -> Net:
    net = load_net(model)
    fold(net)
    pools_to_convolutions(net, 408)
    return net


def same_function(model: onnx.ModelProto, images: np.ndarray) -> list[str]:
    """Check that folding keeps the output; returns the operators that are left."""
    net = folded(model)
    np.testing.assert_allclose(run(to_onnx(net), images), run(model, images), rtol=1e-4, atol=1e-4)
    return [node.op for node in net.nodes]


def test_batch_norm_dropout_and_average_disappear() -> None:
    ops = same_function(*residual_model())
    assert set(ops) == {"Conv", "Relu", "Add", "MaxPool", "Flatten", "Gemm"}


def test_a_batch_norm_that_stands_alone_becomes_a_depthwise_convolution() -> None:
    net = FloatNet()
    statistics = [net.const(net.rng.uniform(0.5, 2, 3)) for _ in range(4)]
    model = net.build(net.add("Relu", net.add("BatchNormalization", "input", *statistics)))
    assert same_function(model, net.images()) == ["Conv", "Relu"]


@pytest.mark.parametrize("op", ["Mul", "Div", "Add", "Sub"])
@pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1)], ids=str)
def test_arithmetic_with_a_constant_for_each_channel_moves_into_the_layer(op: str, shape: tuple[int, ...]) -> None:
    net = FloatNet()
    values = net.const(net.rng.uniform(0.5, 2, shape))
    x = net.conv("input", 3, 6)
    model = net.build(net.add(op, *((values, x) if op in ("Mul", "Add") else (x, values))))
    assert same_function(model, net.images()) == ["Conv"]


def test_of_a_hard_sigmoid_its_bounds_are_left() -> None:
    net = FloatNet()
    model = net.build(net.add("HardSigmoid", net.conv("input", 3, 6), alpha=1 / 6))
    assert same_function(model, net.images()) == ["Conv", "Clip"]


def test_a_factor_behind_an_activation_is_a_depthwise_convolution() -> None:
    net = FloatNet()
    gate = net.add("Clip", net.add("Add", net.conv("input", 3, 6), net.const(3)), net.const(0), net.const(6))
    model = net.build(net.add("Div", gate, net.const(6)))
    assert same_function(model, net.images()) == ["Conv", "Clip", "Conv"]


@pytest.mark.parametrize("op", ["Erf", "Softplus", "LeakyRelu", "Neg", "Pow"])
def test_a_factor_that_begins_a_function_stays(op: str) -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    begun = net.add("Div", x, net.const(2**0.5))
    power = [net.const(2.0)] * (op == "Pow")
    whole = net.add("Add", net.add(op, begun, *power), net.const(1.0))
    model = net.build(net.conv(net.add("Mul", x, whole), 4, 2))
    assert same_function(model, net.images(2)).count("Div") == 1


@pytest.mark.parametrize(("factor", "slope"), [((4, 1, 1), ()), ((), (4, 1, 1))])
def test_what_differs_by_channel_is_no_such_function(factor: tuple[int, ...], slope: tuple[int, ...]) -> None:
    net = FloatNet()
    scaled = net.add("Mul", net.add("Relu", net.conv("input", 3, 4)), net.random(*factor))
    model = net.build(net.add("PRelu", scaled, net.random(*slope)))
    assert same_function(model, net.images(2)) == ["Conv", "Relu", "Conv", "PRelu"]


@pytest.mark.parametrize(("op", "left"), [("Relu", "Relu"), ("Clip", "Clip"), ("HardSigmoid", "Clip")])
def test_a_factor_before_what_a_layer_computes_does_not(op: str, left: str) -> None:
    net = FloatNet()
    bounds = [net.const(bound) for bound in (-1, 1) if op == "Clip"]
    factor = net.add("Div", net.add("Relu", net.conv("input", 3, 4)), net.const(3))
    model = net.build(net.add(op, factor, *bounds))
    assert same_function(model, net.images(2)) == ["Conv", "Relu", "Conv", left]


@pytest.mark.parametrize("shape", [(10, 10), (1, 6, 10, 10), (4, 6, 1, 1)], ids=str)
def test_arithmetic_with_any_other_constant_stays(shape: tuple[int, ...]) -> None:
    net = FloatNet(batch=4 if shape[0] == 4 else "N")
    model = net.build(net.add("Mul", net.conv("input", 3, 6), net.random(*shape)))
    assert same_function(model, net.images(4)) == ["Conv", "Mul"]


def test_what_is_read_before_a_factor_as_well_keeps_it() -> None:
    """As a HardSwish is exported in parts: nothing of it is quantised."""
    net = FloatNet()
    x = net.conv("input", 3, 6)
    gate = net.add("Clip", net.add("Add", x, net.const(3)), net.const(0), net.const(6))
    model = net.build(net.add("Div", net.add("Mul", x, gate), net.const(6)))
    assert same_function(model, net.images()) == ["Conv", "Add", "Clip", "Mul", "Div"]


@pytest.mark.parametrize("attributes", [{"transB": 1}, {}, {"transB": 1, "alpha": 0.5, "beta": 3.0}])
def test_gemm_in_every_form(attributes: dict) -> None:
    net = FloatNet(size=4)
    flat = net.add("Flatten", "input")
    shape = (7, 48) if attributes.get("transB") else (48, 7)
    model = net.build(net.add("Gemm", flat, net.random(*shape), net.random(7), **attributes))
    assert same_function(model, net.images()) == ["Flatten", "Gemm"]


def test_matmul_with_an_added_bias_is_a_gemm() -> None:
    net = FloatNet(size=4)
    product = net.add("MatMul", net.add("Flatten", "input"), net.random(48, 7))
    assert same_function(net.build(net.add("Add", product, net.random(7))), net.images()) == ["Flatten", "Gemm"]


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad_becomes_explicit(mode: str) -> None:
    net = FloatNet(size=11)
    model = net.build(net.conv("input", 3, 4, auto_pad=mode, strides=[2, 2]))
    assert same_function(model, net.images()) == ["Conv"]


def test_zero_padding_moves_into_the_convolution() -> None:
    net = FloatNet()
    padded = net.add("Pad", "input", net.const([0, 0, 1, 2, 0, 0, 3, 0], np.int64))
    assert same_function(net.build(net.conv(padded, 3, 4)), net.images()) == ["Conv"]


def test_identity_on_an_initializer() -> None:
    net = FloatNet()
    bias = net.add("Identity", net.random(4))
    model = net.build(net.add("Conv", "input", net.random(4, 3, 3, 3), bias))
    assert same_function(model, net.images()) == ["Conv"]


@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "include"), [(2, 2, 0, 0), (3, 2, 0, 0), (3, 1, 1, 1), (4, 3, 0, 1)]
)
def test_average_pooling_is_a_sum_whose_factor_the_next_layer_takes(
    kernel: int, strides: int, pads: int, include: int
) -> None:
    net = FloatNet()
    pool = {"kernel_shape": [kernel] * 2, "strides": [strides] * 2, "pads": [pads] * 4, "count_include_pad": include}
    x = net.add("Relu", net.add("AveragePool", net.conv("input", 3, 6), **pool))
    model = net.build(net.conv(x, 6, 4, kernel=1))
    assert same_function(model, net.images()) == ["Conv", "Conv", "Relu", "Conv"]


@pytest.mark.parametrize(
    ("kernel", "attributes", "steps"),
    [
        (3, {"strides": [2, 2]}, 1),
        (3, {"strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 1),
        (5, {"strides": [2, 1], "pads": [1, 2, 0, 1], "count_include_pad": 1}, 2),
        (2, {"strides": [2, 2], "ceil_mode": 1}, 1),
        (8, {}, 1),
        (10, {}, 2),
    ],
)
def test_an_average_that_is_an_output_is_a_convolution(kernel: int, attributes: dict, steps: int) -> None:
    net = FloatNet()
    x = net.add("AveragePool", net.conv("input", 3, 6), kernel_shape=[kernel] * 2, **attributes)
    assert same_function(net.build(x), net.images()) == ["Conv"] * (1 + steps)


@pytest.mark.parametrize(("size", "steps"), [((20, 20), 1), ((21, 21), 2), ((53, 7), 1), ((4, 500), 3), ((3, 256), 3)])
@pytest.mark.parametrize("behind", [True, False])
def test_a_long_average_is_taken_in_steps(size: tuple[int, int], steps: int, behind: bool) -> None:
    net = FloatNet()
    net.shape[2:] = size
    x = net.add("Flatten", net.add("GlobalAveragePool", "input"))
    ops = same_function(net.build(net.gemm(x, 3, 4) if behind else x), net.images(4))
    assert ops == ["Conv"] * (max(steps, 2) if not behind else steps) + ["Flatten"] + ["Gemm"] * behind


def test_a_long_window_that_slides_stays() -> None:
    net = FloatNet()
    net.shape[2:] = [1, 300]
    model = net.build(net.add("AveragePool", "input", kernel_shape=[1, 290]))
    assert same_function(model, net.images(4)) == ["AveragePool"]


@pytest.mark.parametrize("attributes", [{"pads": [1, 1, 1, 1]}, {"strides": [2, 2], "ceil_mode": 1}])
def test_average_pooling_with_uneven_counts_stays(attributes: dict) -> None:
    net = FloatNet()
    x = net.add("AveragePool", net.conv("input", 3, 6), kernel_shape=[3, 3], **attributes)
    assert "AveragePool" in same_function(net.build(net.conv(x, 6, 4)), net.images())


def test_average_of_one_value_is_no_operator() -> None:
    net = FloatNet()
    x = net.add("AveragePool", net.conv("input", 3, 6), kernel_shape=[1, 1])
    assert same_function(net.build(net.conv(x, 6, 4)), net.images()) == ["Conv", "Conv"]
