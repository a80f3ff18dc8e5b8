"""Reading and changing nodes of the library's graph. A node that is changed keeps its name and its output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[Any]


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    found = node.attributes.get(name)
    return default if found is None else found.value


def constant(node: ir.Node, index: int) -> Array | None:
    """Input number `index` if it is there and constant."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def sizes(value: ir.Value | None) -> tuple[int | None, ...]:
    """Of a tensor; None for an open one. Empty where not even their number is known."""
    if value is None or value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def producer_of(node: ir.Node | None, op: str) -> ir.Node | None:
    """The node of this operator that makes the first input."""
    value = node.inputs[0] if node is not None else None
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == op else None


def number_of_axes(value: ir.Value | None) -> int:
    return len(sizes(value))


def turn_into(node: ir.Node, op: str, inputs: int) -> None:
    node.op_type = op
    node.attributes.clear()
    node.resize_inputs(inputs)


def set_constant(node: ir.Node, index: int, value: Array) -> None:
    node.replace_input_with(index, new_constant(node, f"{node.name}.input{index}", value))


def insert_before(node: ir.Node, op: str, name: str, given: ir.Value, shape: Sequence[int | None]) -> ir.Node:
    """A node of one input whose result is of `given`'s type."""
    made = ir.Node("", op, [given], name=name)
    made.outputs[0].name = f"{name}.result"
    made.outputs[0].type, made.outputs[0].shape = given.type, ir.Shape(shape)
    _graph(node).insert_before(node, made)
    return made


def insert_after(
    node: ir.Node,
    op: str,
    name: str,
    operand: Array,
    shape: Sequence[int | None],
    readers: Collection[ir.Usage] | None = None,
) -> None:
    """`op` of the node's result and a constant, in the place of the result: for its `readers`, all by default, and as the graph's
    output."""
    other = new_constant(node, f"{name}.operand", operand)
    move_behind(node, ir.Node("", op, [node.outputs[0], other], name=name), shape, readers)


def move_behind(
    node: ir.Node, made: ir.Node, shape: Sequence[int | None], readers: Collection[ir.Usage] | None = None
) -> None:
    """A new node, which reads the node's result and has this shape, in the place of the result: for its `readers`, all by default,
    and as the graph's output."""
    result = node.outputs[0]
    uses = [use for use in result.uses() if use.node is not made] if readers is None else readers
    made.outputs[0].shape = ir.Shape(shape)
    graph = _graph(node)
    take_place(graph, made.outputs[0], result, uses)
    graph.insert_after(node, made)


def take_place(graph: ir.Graph, made: ir.Value, old: ir.Value, uses: Collection[ir.Usage]) -> None:
    """`made` gets the name and the type of `old`, and is what these uses and the graph's output read in its place."""
    made.type = old.type
    made.name, old.name = old.name, f"{old.name}.before"
    for use in uses:
        use.node.replace_input_with(use.idx, made)
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = made


def new_constant(node: ir.Node, name: str, value: Array) -> ir.Value:
    graph = _graph(node)
    while name in graph.initializers:
        name += "_"
    tensor = ir.tensor(np.ascontiguousarray(value), name=name)
    made = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(made)
    return made


def _graph(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(f"{node.name}: a node of no graph")
    return node.graph
