"""Whether a model has anything to be brought into form: most have not, and keep their bytes and their time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

LOWEST_OPSET, HIGHEST_OPSET = 13, 21  # what the quantiser and both TVMs read
# they compute what the model's constants or its input's shape say, or stand for another operator
TELLING = (
    *("Shape", "Size", "ConstantOfShape", "Range", "EyeLike", "If", "Loop", "Scan"),
    *("Cast", "CastLike", "Expand", "ReduceMean", "Reshape", "Split", "Squeeze", "Unsqueeze", "Transpose"),
    *("SpaceToDepth", "DepthToSpace", "Sum"),
)
PLAIN_CONSTANTS = ("value", "sparse_value")


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether a model holds quantised operators, or operators of others, QONNX's for one: their integers are not ours to change."""
    functions = {(item.domain, item.name) for item in model.functions}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return any(
        node.op_type.startswith(("QLinear", "QuantizeLinear", "DequantizeLinear", "DynamicQuantize"))
        or node.op_type.endswith("Integer")
        or (node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in functions)
        for node in nodes
    )


def opset_of(model: onnx.ModelProto) -> int:
    return next((int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)


def needs_folding(model: onnx.ModelProto) -> bool:
    graph = model.graph
    if model.functions or not LOWEST_OPSET <= opset_of(model) <= HIGHEST_OPSET:
        return True
    if {value.name for value in graph.input} & {value.name for value in graph.output}:
        return True
    shown = [value.name for value in graph.input]
    if any(len(value.type.tensor_type.shape.dim) == 3 for value in graph.input):
        return True
    constants = {item.name: item for item in graph.initializer if item.name not in shown}
    return any(_node_needs(node, constants) for node in graph.node) or _multiplies_images(graph)


def _multiplies_images(graph: onnx.GraphProto) -> bool:
    """Whether a MatMul may read what has more than two axes."""
    axes = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.input, *graph.value_info)}
    axes |= {node.output[0]: 2 for node in graph.node if node.op_type in ("Flatten", "Gemm")}
    return any(node.op_type == "MatMul" and axes.get(node.input[0]) != 2 for node in graph.node)


def _node_needs(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """`constants` grows by what Constant nodes hold."""
    if node.op_type == "Constant":
        value = next((item for item in node.attribute if item.name in PLAIN_CONSTANTS), None)
        if value is None:
            return True
        constants[node.output[0]] = value.t
        return False
    # exporters share weights by these; the quantiser follows them
    if node.op_type == "Identity" and node.input[0] in constants:
        constants[node.output[0]] = constants[node.input[0]]
        return False
    if node.op_type in TELLING or (node.input and all(name in constants for name in node.input if name)):
        return True
    if any(
        (item.name == "auto_pad" and item.s != b"NOTSET")
        or item.name == "output_shape"
        or (item.name == "ceil_mode" and item.i)
        for item in node.attribute
    ):
        return True
    if any(item.name == "kernel_shape" and len(item.ints) == 1 for item in node.attribute):
        return True
    if node.op_type in ("Max", "Min"):
        return len(node.input) != 2 or any(name in constants for name in node.input)
    if node.op_type == "Clip":
        return any(_infinite(constants[name]) for name in node.input[1:] if name in constants)
    if node.op_type == "Gemm" and len(node.input) > 2:
        bias = constants.get(node.input[2])
        return bias is not None and len(bias.dims) > 1 and bias.dims[0] != 1
    return node.op_type == "Pad" and (is_crop(node, constants) or (len(node.input) > 2 and node.input[2] in constants))


def is_crop(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a Pad cuts off anything."""
    widths = constants.get(node.input[1]) if node.op_type == "Pad" and len(node.input) > 1 else None
    return widths is not None and bool((numpy_helper.to_array(widths) < 0).any())


def _infinite(tensor: onnx.TensorProto) -> bool:
    return not bool(np.isfinite(numpy_helper.to_array(tensor).astype(np.float64)).all())
