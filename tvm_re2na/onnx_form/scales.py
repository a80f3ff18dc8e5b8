"""Of models that are quantised already: scales and zero points as TVM reads them, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LINEAR = ("QuantizeLinear", "DequantizeLinear")


def plain_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """A scale or zero point of shape (1) as one number, a zero point that is left out as zero; the model itself where none is."""
    graph = model.graph
    single = set(_single(graph))
    missing = [index for index, node in enumerate(graph.node) if node.op_type in LINEAR and _without_zero(node)]
    kinds = _integer_kinds(graph)
    filled = {index: kinds[name] for index in missing if (name := _integers(graph.node[index])) in kinds}
    if not single and not filled:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in single:
            del tensor.dims[:]
    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    shapes = {tensor.name: list(tensor.dims) for tensor in changed.graph.initializer}
    for index, kind in filled.items():
        node = changed.graph.node[index]
        if node.input[1] not in shapes:
            continue
        name = f"{node.input[0]}.no_zero_{index}"
        while name in taken:
            name += "_"
        zero = np.zeros(shapes[node.input[1]], onnx.helper.tensor_dtype_to_np_dtype(kind))
        changed.graph.initializer.append(numpy_helper.from_array(zero, name))
        node.input[:] = [*node.input[:2], name]
    return changed


def _single(graph: onnx.GraphProto) -> Iterator[str]:
    """Constants of shape (1) that are read as scales and zero points alone, where both may become one number."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    shown = {value.name for value in (*graph.input, *graph.output)}
    others = {name for node in graph.node for name in _other_inputs(node)}
    for node in graph.node:
        if node.op_type not in LINEAR:
            continue
        names = [name for name in node.input[1:] if name]
        if all(shapes.get(name) in ([], [1]) and name not in shown | others for name in names):
            yield from (name for name in names if shapes[name] == [1])


def _other_inputs(node: onnx.NodeProto) -> list[str]:
    blocked = any(item.name == "block_size" and item.i for item in node.attribute)
    return list(node.input) if node.op_type not in LINEAR or blocked else list(node.input[:1])


def _without_zero(node: onnx.NodeProto) -> bool:
    typed = any(item.name in ("output_dtype", "saturate", "block_size") for item in node.attribute)
    return not typed and (len(node.input) < 3 or not node.input[2])


def _integers(node: onnx.NodeProto) -> str:
    return str(node.input[0] if node.op_type == "DequantizeLinear" else node.output[0])


def _integer_kinds(graph: onnx.GraphProto) -> dict[str, int]:
    """The type of each tensor of integers: a constant's, or that of the zero point with which it was made."""
    kinds = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            zero = node.input[2] if len(node.input) > 2 else ""
            kinds[node.output[0]] = kinds.get(zero, TensorProto.UINT8)
        elif node.op_type in ("Relu", "MaxPool", "Reshape", "Flatten", "Transpose") and node.input[0] in kinds:
            kinds[node.output[0]] = kinds[node.input[0]]
    return kinds
