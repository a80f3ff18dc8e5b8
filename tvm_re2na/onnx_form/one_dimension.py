"""Convolutions of sequences (N, C, L) as convolutions of images (N, C, L, 1), which is what the machine has.

Not (N, C, 1, L): tensors are cut into strips of rows, so a sequence of one row could not be cut, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from tvm_re2na.element_wise import OF_ONE, OF_TWO
from tvm_re2na.onnx_form.parts import (
    attribute,
    constant,
    insert_after,
    insert_before,
    new_constant,
    number_of_axes,
    set_constant,
    sizes,
)

WINDOWS = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization")
# the same for every number of axes; of the second, all inputs are data, with which an axis of size 1 may be broadcast
ONE_OPERAND = OF_ONE | {"Identity", "Dropout", "Pad"}
OPERANDS = OF_TWO | {"Concat"}
PER_AXIS = ("kernel_shape", "strides", "dilations")
BEHIND, BACK = [0, 0, 0, 1], [0, 0, -1]  # Reshapes; 0 is the size that there is


def sequences_to_images(model: ir.Model) -> None:
    """Windows over a sequence, and what lies between them; a Reshape stands where others read what they make, or make what they
    read."""
    nodes = _chosen(model)
    known: dict[ir.Value, ir.Value] = {}
    for node in nodes:
        for index in _operands(node):
            _give_axis(node, index, nodes, known)
        _attributes(node)
        node.outputs[0].shape = ir.Shape([*sizes(node.outputs[0]), 1])
    for node in nodes:
        _take_axis_back(node, nodes)


def _chosen(model: ir.Model) -> dict[ir.Node, None]:
    """In their order; what is the same for every number of axes only where it touches others."""
    able = [node for node in model.graph if _is_able(node)]
    chosen = {node for node in able if node.op_type in WINDOWS}
    while more := {node for node in able if node not in chosen and not chosen.isdisjoint(_neighbours(node))}:
        chosen |= more
    return {node: None for node in able if node in chosen}


def _is_able(node: ir.Node) -> bool:
    if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1 or number_of_axes(node.outputs[0]) != 3:
        return False
    if node.op_type in OPERANDS:
        return all(number_of_axes(value) == 3 or constant(node, at) is not None for at, value in enumerate(node.inputs))
    if node.op_type == "Conv" and constant(node, 1) is None:
        return False
    if node.op_type == "Pad" and (constant(node, 1) is None or len(node.inputs) > 3):
        return False
    return node.op_type in (*WINDOWS, *ONE_OPERAND) and number_of_axes(node.inputs[0]) == 3


def _neighbours(node: ir.Node) -> Iterator[ir.Node]:
    for index in _operands(node):
        value = node.inputs[index]
        producer = None if value is None else value.producer()
        if producer is not None:
            yield producer
    yield from (use.node for use in node.outputs[0].uses() if use.idx in _operands(use.node))


def _operands(node: ir.Node) -> range:
    return range(len(node.inputs) if node.op_type in OPERANDS else 1)


def _give_axis(node: ir.Node, index: int, nodes: dict[ir.Node, None], known: dict[ir.Value, ir.Value]) -> None:
    value, fixed = node.inputs[index], constant(node, index)
    if fixed is not None:
        if fixed.ndim:
            set_constant(node, index, fixed[..., None])
        return
    if value is None or value.producer() in nodes:
        return
    if value not in known:
        name = f"{value.name}.column"
        made = insert_before(node, "Reshape", name, value, [*sizes(value), 1])
        made.resize_inputs(2)
        made.replace_input_with(1, new_constant(node, f"{name}.sizes", np.array(BEHIND, np.int64)))
        known[value] = made.outputs[0]
    node.replace_input_with(index, known[value])


def _attributes(node: ir.Node) -> None:
    weight, padding = constant(node, 1), attribute(node, "pads")
    if node.op_type == "Conv" and weight is not None:
        set_constant(node, 1, weight[..., None])
    if node.op_type == "Pad" and weight is not None:
        set_constant(node, 1, np.insert(weight, [3, 6], 0))
    if node.op_type == "Concat":
        node.attributes["axis"] = ir.AttrInt64("axis", attribute(node, "axis") % 3)
    if padding is not None:
        node.attributes["pads"] = ir.AttrInt64s("pads", [padding[0], 0, padding[1], 0])
    for name in PER_AXIS:
        if name in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, [*attribute(node, name), 1])


def _take_axis_back(node: ir.Node, nodes: dict[ir.Node, None]) -> None:
    """For all who read three axes; a Flatten makes the same of four."""
    made = node.outputs[0]
    others = [use for use in made.uses() if use.node not in nodes and not _lines_up(use.node)]
    if others or made.is_graph_output():
        insert_after(node, "Reshape", f"{node.name}.sequence", np.array(BACK, np.int64), sizes(made)[:3], others)


def _lines_up(node: ir.Node) -> bool:
    return node.op_type == "Flatten" and bool(attribute(node, "axis", 1) == 1)
