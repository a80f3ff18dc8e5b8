"""Of models that are quantised already: uint8 with zero point 128 is int8 with zero point 0, the same real numbers."""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tvm_re2na.onnx_form.names import free_name, tensor_names

MIDDLE = 128


def signed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself where no tensor is such; one that something but a DequantizeLinear reads, or that is an output, stays.

    Zero points are initializers, one number where all are equal (`scales`).
    """
    graph = model.graph
    middles = {tensor.name for tensor in graph.initializer if _is_middle(tensor)}
    found = _disguised(graph, middles) if middles else set()
    if not found:
        return model
    changed = copy.deepcopy(model)
    graph = changed.graph
    zero = free_name("int8.zero", tensor_names(graph))
    for node in graph.node:
        if _integers(node) in found:
            node.input[2] = zero
            for item in node.attribute:
                if item.name == "output_dtype":
                    item.i = TensorProto.INT8
    for tensor in graph.initializer:
        if tensor.name in found:
            values = numpy_helper.to_array(tensor).astype(np.int16) - MIDDLE
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int8), tensor.name))
    for value in graph.value_info:
        if value.name in found:
            value.type.tensor_type.elem_type = TensorProto.INT8
    graph.initializer.append(numpy_helper.from_array(np.int8(0), zero))
    return changed


def _disguised(graph: onnx.GraphProto, middles: set[str]) -> set[str]:
    """Tensors of bytes that only nodes with such a zero point write and read."""
    constants = {tensor.name for tensor in graph.initializer}
    kept = {value.name for value in (*graph.input, *graph.output)} | set(_read_within(graph))
    found: set[str] = set()
    for node in graph.node:
        name = _integers(node)
        kept.update(part for part in node.input if part != name)
        if name and len(node.input) > 2 and node.input[2] in middles:
            found.add(name)
        elif name:
            kept.add(name)
    written = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    return {name for name in found - kept if name in constants or name in written}


def _integers(node: onnx.NodeProto) -> str:
    """What a QuantizeLinear writes, or a DequantizeLinear reads; of any other node nothing."""
    if node.op_type == "QuantizeLinear":
        return str(node.output[0])
    return str(node.input[0]) if node.op_type == "DequantizeLinear" else ""


def _read_within(graph: onnx.GraphProto) -> list[str]:
    """What graphs within nodes may read."""
    inner = [part for node in graph.node for item in node.attribute for part in (item.g, *item.graphs)]
    return [name for part in inner for node in part.node for name in (*node.input, *_read_within(part))]


def _is_middle(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.UINT8 or tensor.dims:
        return False
    return int(numpy_helper.to_array(tensor)) == MIDDLE
