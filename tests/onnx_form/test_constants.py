"""Weights that a file computes are weights; what it computes of its input's shape are numbers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_form.networks import after, names, operators
from tests.quantize.networks import FloatNet
from tvm_re2na.onnx_form import normalise


def conv_of(net: FloatNet, weight: str) -> onnx.ModelProto:
    return net.build(net.add("Conv", "input", weight))


def test_weights_behind_other_operators() -> None:
    net = FloatNet()
    half = net.const(net.rng.normal(0, 0.3, (3, 3, 3, 4)), np.float16)
    weight = net.add("Transpose", net.add("Cast", half, to=TensorProto.FLOAT), perm=[3, 0, 1, 2])
    scaled = net.add("Mul", weight, net.add("ConstantOfShape", net.const([1], np.int64), value=one(0.5)))
    made = after(conv_of(net, scaled))
    assert operators(made) == ["Conv"]
    assert made.graph.initializer[0].data_type == TensorProto.FLOAT


def one(value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([value], np.float32))


def test_weights_that_are_listed_as_inputs() -> None:
    """As files of IR version 3 have to, which are read by the thousand."""
    net = FloatNet()
    weight = net.add("ConstantOfShape", net.const([4, 3, 3, 3], np.int64), value=one(0.5))
    model = conv_of(net, weight)
    model.graph.input.extend(
        helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in model.graph.initializer
    )
    model.ir_version = 3
    made = after(model)
    assert operators(made) == ["Conv"]
    assert [value.name for value in made.graph.input] == ["input"]


def test_large_weights_too() -> None:
    net = FloatNet(channels=64, size=4)
    weight = net.add("Reshape", net.random(64 * 64 * 9), net.const([64, 64, 3, 3], np.int64))
    assert operators(after(conv_of(net, weight))) == ["Conv"]


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("rest", [-1, 27])
def test_view_of_the_batch(batch: int | str, rest: int) -> None:
    net = FloatNet(size=3, batch=batch)
    size = net.add("Gather", net.add("Shape", "input"), net.const(0, np.int64))
    sizes = net.add("Concat", net.add("Unsqueeze", size, net.const([0], np.int64)), net.const([rest], np.int64), axis=0)
    made = after(net.build(net.gemm(net.add("Reshape", "input", sizes), 27, 5)))
    assert operators(made) == ["Flatten", "Gemm"]
    assert names(made) == ["reshape_4", "gemm_5"]


def test_a_channel_shuffle_of_computed_sizes() -> None:
    net = FloatNet(channels=4, size=6)
    shape = net.add("Shape", "input")
    parts = [net.add("Slice", shape, *(net.const([edge], np.int64) for edge in (i, i + 1))) for i in (0, 2, 3)]
    wide = net.add("Concat", parts[0], net.const([2, 2], np.int64), *parts[1:], axis=0)
    back = net.add("Concat", parts[0], net.const([4], np.int64), *parts[1:], axis=0)
    turned = net.add("Transpose", net.add("Reshape", "input", wide), perm=[0, 2, 1, 3, 4])
    made = after(net.build(net.conv(net.add("Reshape", turned, back), 4, 2)))
    assert operators(made) == ["Gather", "Conv"]


def test_upsampling_to_the_size_of_another() -> None:
    net = FloatNet(size=8)
    small = net.add("MaxPool", "input", kernel_shape=[2, 2], strides=[2, 2])
    ends = [net.const([edge], np.int64) for edge in (0, 2, 4)]
    first = net.add("Slice", net.add("Shape", small), ends[0], ends[1])
    last = net.add("Slice", net.add("Shape", "input"), ends[1], ends[2])
    sizes = net.add("Concat", first, last, axis=0)
    large = net.add("Resize", small, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric")
    made = after(net.build(net.conv(net.add("Add", large, "input"), 3, 2, auto_pad=b"SAME_UPPER")))
    assert operators(made) == ["MaxPool", "Resize", "Add", "Conv"]


def test_constants_of_every_kind() -> None:
    net = FloatNet()
    bounds = [net.add("Constant", value_float=value) for value in (-0.5, 0.5)]
    sizes = net.add("Constant", value_ints=[0, -1])
    assert operators(after(net.build(net.add("Reshape", net.add("Clip", "input", *bounds), sizes)))) == [
        "Clip",
        "Flatten",
    ]


def test_a_branch_that_is_decided() -> None:
    net = FloatNet()
    bodies = {
        name: helper.make_graph(
            [helper.make_node(op, ["input"], [f"{name}.result"], name=name)],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}.result", TensorProto.FLOAT, None)],
        )
        for name, op in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    decided = net.add("Greater", net.const(3.0), net.const(2.0))
    made = after(net.build(net.conv(net.add("If", decided, **bodies), 3, 2)))
    assert operators(made) == ["Relu", "Conv"]


@pytest.mark.parametrize("op", ["ConstantOfShape", "MatMul"])
def test_what_asks_for_memory_is_left(op: str) -> None:
    net = FloatNet()
    if op == "ConstantOfShape":
        huge = net.add(op, net.const([1 << 20, 1 << 20], np.int64))
    else:
        huge = net.add(op, net.random(1 << 16, 1), net.random(1, 1 << 16))
    shown = net.add("ReduceMax", huge, keepdims=0)
    model = net.build(net.add("Mul", "input", shown))
    assert op in operators(normalise(model))


def test_a_plain_model_keeps_its_bytes() -> None:
    net = FloatNet()
    x = net.add("Relu", net.conv("input", 3, 4))
    x = net.add("Flatten", net.add("MaxPool", x, kernel_shape=[2, 2]))
    shared = net.add("Identity", net.random(5))
    model = net.build(net.add("Gemm", x, net.random(4 * 81, 5), shared))
    assert normalise(model) is model
