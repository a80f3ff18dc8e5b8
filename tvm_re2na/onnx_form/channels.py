"""Choices of channels: a Split becomes Slices, a channel shuffle a Gather, numbers that count from the end count from the front."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from tvm_re2na.onnx_form.parts import (
    attribute,
    constant,
    new_constant,
    producer_of,
    set_constant,
    sizes,
    take_place,
    turn_into,
)

CHANNELS = 1  # the axis


def split_into_slices(node: ir.Node) -> None:
    """Of channels, into parts that are known: a Slice for each part that is read."""
    given = sizes(node.inputs[0])
    lengths = _lengths(node, given[CHANNELS] if len(given) > CHANNELS else None)
    if attribute(node, "axis", 0) not in (CHANNELS, CHANNELS - len(given)) or lengths is None:
        return
    start = 0
    for number, (output, length) in enumerate(zip(node.outputs, lengths, strict=True)):
        _slice(node, output, f"{node.name}_{number}" if number else str(node.name), (start, start + length))
        start += length


def shuffle_to_gather(node: ir.Node) -> bool:
    """A Reshape that brings channels together again, which another one has taken apart and a Transpose has reordered."""
    transpose = producer_of(node, "Transpose")
    apart = producer_of(transpose, "Reshape")
    if transpose is None or apart is None:
        return False
    before, between, after = (sizes(value) for value in (apart.inputs[0], apart.outputs[0], node.outputs[0]))
    if len(before) < 2 or before[1:] != after[1:] or None in (*before[1:], *between[1:]):
        return False
    order = list(attribute(transpose, "perm") or ())
    inner = len(between) - len(before) + 2  # axes before rows and columns
    groups = [int(size or 0) for size in between[1:inner]]
    if between[inner:] != before[2:] or math.prod(groups) != before[CHANNELS]:
        return False
    if [*order[:1], *order[inner:]] != [0, *range(inner, len(between))]:
        return False
    numbers = np.arange(math.prod(groups)).reshape(groups).transpose([axis - 1 for axis in order[1:inner]]).ravel()
    node.replace_input_with(0, apart.inputs[0])
    turn_into(node, "Gather", inputs=2)
    node.attributes["axis"] = ir.AttrInt64("axis", CHANNELS)
    set_constant(node, 1, numbers)
    return True


def count_from_the_front(node: ir.Node) -> None:
    """The numbers of a Gather."""
    numbers, given = constant(node, 1), sizes(node.inputs[0])
    axis = int(attribute(node, "axis", 0))
    size = given[axis] if -len(given) <= axis < len(given) else None
    if numbers is not None and size is not None and (numbers < 0).any():
        set_constant(node, 1, np.where(numbers < 0, numbers + size, numbers))


def _lengths(node: ir.Node, count: int | None) -> Sequence[int] | None:
    """Of the parts of a Split; None where they are not known."""
    given = constant(node, 1) if len(node.inputs) > 1 else attribute(node, "split")
    if given is not None:
        return [int(length) for length in given]
    if count is None or (len(node.inputs) > 1 and node.inputs[1] is not None):
        return None
    parts = len(node.outputs)
    each = -(-count // parts)
    return [min(each, count - each * number) for number in range(parts)]


def _slice(node: ir.Node, output: ir.Value, name: str, bounds: tuple[int, int]) -> None:
    graph, data = node.graph, node.inputs[0]
    if not isinstance(graph, ir.Graph) or not (output.uses() or output in graph.outputs):
        return
    settings = zip(("start", "end", "axis"), (*bounds, CHANNELS), strict=True)
    constants = [new_constant(node, f"{name}.{what}", np.array([number], np.int64)) for what, number in settings]
    made = ir.Node("", "Slice", [data, *constants], name=name)
    made.outputs[0].shape = output.shape
    take_place(graph, made.outputs[0], output, list(output.uses()))
    graph.insert_before(node, made)
