"""Of models that are quantised already: scales and zero points as TVM reads them, the same numbers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from tvm_re2na.onnx_form.names import free_name, tensor_names

Array = npt.NDArray[Any]
LINEAR = ("QuantizeLinear", "DequantizeLinear")
INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32)


def plain_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scales and zero points as initializers: one number where all their elements are equal, zero where it is left out.

    The model itself where they are so already.
    """
    held = _read_from_nodes(model.graph)
    changed = model if not held else _with_initializers(model, held)
    graph = changed.graph
    uniform = {name: value for name, value in _uniform(graph).items() if value.shape}
    kinds = _integer_kinds(graph)
    filled = {
        index: kinds[name]
        for index, node in enumerate(graph.node)
        if _without_zero(node) and kinds.get(name := _integers(node)) in INTEGERS
    }
    if not uniform and not filled:
        return changed
    if changed is model:
        changed = copy.deepcopy(model)
    for tensor in changed.graph.initializer:
        if tensor.name in uniform:
            one = uniform[tensor.name].reshape(-1)[0]
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(one), tensor.name))
    _fill(changed.graph, filled)
    return changed


def _read_from_nodes(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """What Constant nodes hold for QuantizeLinear and DequantizeLinear."""
    read = {name for node in graph.node if node.op_type in LINEAR for name in node.input}
    constants = (node for node in graph.node if node.op_type == "Constant" and node.output[0] in read)
    return {node.output[0]: item.t for node in constants for item in node.attribute if item.name == "value"}


def _with_initializers(model: onnx.ModelProto, held: dict[str, onnx.TensorProto]) -> onnx.ModelProto:
    changed = copy.deepcopy(model)
    graph = changed.graph
    for index in reversed(range(len(graph.node))):
        if graph.node[index].op_type == "Constant" and graph.node[index].output[0] in held:
            del graph.node[index]
    for name, tensor in held.items():
        kept = graph.initializer.add()
        kept.CopyFrom(tensor)
        kept.name = name
    return changed


def _fill(graph: onnx.GraphProto, kinds: dict[int, int]) -> None:
    """A zero point for each of these nodes whose scale is constant."""
    taken = tensor_names(graph)
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for index, kind in kinds.items():
        node = graph.node[index]
        if node.input[1] not in shapes:
            continue
        name = free_name(f"{node.input[0]}.no_zero", taken)
        zero = np.zeros(shapes[node.input[1]], onnx.helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer.append(numpy_helper.from_array(zero, name))
        node.input[:] = [*node.input[:2], name]


def _uniform(graph: onnx.GraphProto) -> dict[str, Array]:
    """Constants of equal elements that are read as scales and zero points alone, and with others of the kind."""
    shown = {value.name for value in (*graph.input, *graph.output)}
    others = {name for node in graph.node for name in _other_inputs(node)}
    read = {name for node in graph.node if node.op_type in LINEAR for name in node.input[1:]} - shown - others
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in read}
    found = {name: array for name, array in arrays.items() if array.size and (array == array.reshape(-1)[0]).all()}
    pairs = [[name for name in node.input[1:] if name] for node in graph.node if node.op_type in LINEAR]
    while mixed := {name for pair in pairs for name in pair if name in found and not all(n in found for n in pair)}:
        found = {name: array for name, array in found.items() if name not in mixed}
    return found


def _other_inputs(node: onnx.NodeProto) -> list[str]:
    blocked = any(item.name == "block_size" and item.i for item in node.attribute)
    return list(node.input) if node.op_type not in LINEAR or blocked else list(node.input[:1])


def _without_zero(node: onnx.NodeProto) -> bool:
    blocked = any(item.name == "block_size" and item.i for item in node.attribute)
    return node.op_type in LINEAR and not blocked and len(node.input) > 1 and not "".join(node.input[2:])


def _integers(node: onnx.NodeProto) -> str:
    return str(node.input[0] if node.op_type == "DequantizeLinear" else node.output[0])


def _integer_kinds(graph: onnx.GraphProto) -> dict[str, int]:
    """The type of each tensor of integers: a constant's, or that of the zero point with which it was made."""
    kinds = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            zero = node.input[2] if len(node.input) > 2 else ""
            told = next((item.i for item in node.attribute if item.name == "output_dtype"), 0)
            kinds[node.output[0]] = kinds.get(zero, int(told) or TensorProto.UINT8)
        elif node.op_type in ("Relu", "MaxPool", "Reshape", "Flatten", "Transpose") and node.input[0] in kinds:
            kinds[node.output[0]] = kinds[node.input[0]]
    return kinds
