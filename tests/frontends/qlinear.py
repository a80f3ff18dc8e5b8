"""A small network of QLinear operators."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.frontends.qdq import biases, weights


def qlinear_network(rng: np.random.Generator) -> onnx.ModelProto:
    """conv, relu, conv, residual add, clip, max pool, flatten, matmul, relu, matmul on (2, 4, 8, 8), all scales powers of two."""
    constants = {
        "x_scale": np.float32(2**-5),
        "zero": np.int8(0),
        "w": weights(rng, 4, 4, 3, 3),
        "w_scale": np.float32(2**-6),
        "w_scales": np.full(4, 2**-6, np.float32),
        "w_zeros": np.zeros(4, np.int8),
        "scale": np.float32(2**-3),
        "small": np.float32(2**-5),
        "bias": biases(rng, 4),
        "m1": weights(rng, 64, 8, limit=20),
        "m2": weights(rng, 8, 5, limit=20),
        "low": np.int8(0),
        "high": np.int8(60),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "x_scale", "zero"], ["q"], name="quantise"),
        _node(
            "QLinearConv",
            "conv1",
            ["q", "x_scale", "zero", "w", "w_scale", "zero", "scale", "zero", "bias"],
            pads=[1, 1, 1, 1],
        ),
        _node("Relu", "relu1", ["conv1"]),
        _node(
            "QLinearConv",
            "conv2",
            ["relu1", "scale", "zero", "w", "w_scales", "w_zeros", "small", "zero"],
            pads=[1, 1, 1, 1],
        ),
        _node(
            "QLinearAdd",
            "add1",
            ["relu1", "scale", "zero", "conv2", "small", "zero", "scale", "zero"],
            domain="com.microsoft",
        ),
        _node("Clip", "clip1", ["add1", "low", "high"]),
        _node("MaxPool", "pool1", ["clip1"], kernel_shape=[2, 2], strides=[2, 2]),
        _node("Flatten", "flat1", ["pool1"]),
        _node("QLinearMatMul", "matmul1", ["flat1", "scale", "zero", "m1", "w_scale", "zero", "scale", "zero"]),
        _node("Relu", "relu2", ["matmul1"]),
        _node("QLinearMatMul", "matmul2", ["relu2", "scale", "zero", "m2", "w_scale", "zero", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["matmul2", "scale", "zero"], ["output"], name="dequantise"),
    ]
    graph = helper.make_graph(
        nodes,
        "qlinear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [2, 4, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [2, 5])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _node(op: str, name: str, inputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [name], name=name, **attributes)
