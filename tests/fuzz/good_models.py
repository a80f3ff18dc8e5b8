"""What the campaigns start from: small good models, which together have most kinds of operators and of structure."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.frontends.qlinear import qlinear_network
from tests.quantize.networks import FloatNet, residual_model
from tvm_re2na.quantize import quantize


def _branches() -> onnx.ModelProto:
    """Padding, depthwise and strided convolutions, Clip, concatenation, average pooling, Reshape, MatMul + Add."""
    net = FloatNet(batch=1, size=8)
    x = net.add("Pad", "input", net.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    x = net.add("Clip", net.conv(x, 3, 6, strides=[2, 2]), net.const(0.0), net.const(6.0))
    left = net.conv(x, 6, 6, group=6, auto_pad="SAME_UPPER")
    right = net.add("LeakyRelu", net.conv(x, 6, 4, kernel=1), alpha=0.1)
    x = net.add("Concat", left, right, axis=1)
    x = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Reshape", net.add("Transpose", x, perm=[0, 2, 3, 1]), net.const([1, -1], np.int64))
    x = net.add("MatMul", x, net.random(40, 7, scale=0.2))
    return net.build(net.add("Softmax", net.add("Add", x, net.random(7))))


def _function() -> onnx.ModelProto:
    """A local function, and a branch with graphs of its own."""
    net = FloatNet(size=6)
    x = net.conv("input", 3, 4)
    net.nodes.append(helper.make_node("Double", [x], ["doubled"], name="call", domain="local"))
    branches = {}
    for name, op in (("then_branch", "Relu"), ("else_branch", "Neg")):
        value = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        node = helper.make_node(op, ["doubled"], [value.name], name=f"{name}_{op}")
        branches[name] = helper.make_graph([node], name, [], [value])
    condition = net.const(True, np.bool_)  # type: ignore[arg-type]
    output = net.add("If", condition, **branches)
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    double = helper.make_function("local", "Double", ["a"], ["b"], body, opsets[:1], [])
    values = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, net.shape),
        helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 4, 4, 4]),
    ]
    graph = helper.make_graph(net.nodes, "function", values[:1], values[1:], net.constants)
    return helper.make_model(graph, functions=[double], opset_imports=opsets, ir_version=8)


@functools.cache
def models() -> tuple[bytes, ...]:
    """Float models, and one of each form of quantised ones."""
    residual, images = residual_model()
    quantised = quantize(residual, images[:4]).model
    qlinear = qlinear_network(np.random.default_rng(0))
    qlinear.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    qlinear.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    found = [residual, _branches(), _function(), quantised, qlinear]
    return tuple(model.SerializeToString(deterministic=True) for model in found)
