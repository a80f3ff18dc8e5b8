"""Operators that say the same as another one, which everything behind knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir

from tvm_re2na.onnx_form.blocks import crop, depth_to_space, reshape_of_blocks, space_to_depth
from tvm_re2na.onnx_form.channels import count_from_the_front, shuffle_to_gather, split_into_slices
from tvm_re2na.onnx_form.folding import drop_unused
from tvm_re2na.onnx_form.parts import (
    attribute,
    constant,
    insert_after,
    insert_before,
    number_of_axes,
    set_constant,
    sizes,
    turn_into,
)
from tvm_re2na.onnx_form.windows import explicit_cut, explicit_padding, pad_into_pool


def rewrite(model: ir.Model) -> None:
    for node in list(model.graph):
        rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is not None:
            rule(node)


def blocks_and_crops(model: ir.Model) -> None:
    """Of all rules those that leave scales alone; what nobody reads any more goes."""
    for node in list(model.graph):
        rule = _MOVES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is not None:
            rule(node)
    drop_unused(model)


def _clip(node: ir.Node) -> None:
    """Infinite bounds are none; from 0 on it is a Relu."""
    bounds = [constant(node, index) for index in (1, 2)]
    numbers = [None if bound is None or bound.size != 1 else float(bound.item()) for bound in bounds]
    if numbers[0] == math.inf or numbers[1] == -math.inf:
        return  # every result is infinite
    for index, number in enumerate(numbers, 1):
        if number is not None and math.isinf(number):
            node.replace_input_with(index, None)
    low, high = constant(node, 1), node.inputs[2] if len(node.inputs) > 2 else None
    if high is None and low is not None and low.size == 1 and low.item() == 0:
        turn_into(node, "Relu", inputs=1)
    elif high is None and (len(node.inputs) < 2 or node.inputs[1] is None):
        turn_into(node, "Identity", inputs=1)


def _extremum(node: ir.Node) -> None:
    """Beside a number it is a Clip."""
    for pair in _in_pairs(node):
        _clip_by_constant(pair)


def _sum(node: ir.Node) -> None:
    for pair in _in_pairs(node):
        turn_into(pair, "Add", inputs=2)


def _in_pairs(node: ir.Node) -> list[ir.Node]:
    """Nodes of two operands for one of several: the first two come first. One of a single operand changes nothing."""
    if len(node.inputs) == 1:
        turn_into(node, "Identity", inputs=1)
        return []
    pairs = []
    while len(node.inputs) > 2 and node.inputs[0] is not None:
        name = f"{node.name}.of_{len(node.inputs) - 1}"
        first = insert_before(node, node.op_type, name, node.inputs[0], sizes(node.outputs[0]))
        first.resize_inputs(2)
        first.replace_input_with(1, node.inputs[1])
        others = [first.outputs[0], *node.inputs[2:]]
        node.resize_inputs(len(others))
        for index, value in enumerate(others):
            node.replace_input_with(index, value)
        pairs.append(first)
    return [*pairs, node]


def _clip_by_constant(node: ir.Node) -> None:
    place = next((index for index in (0, 1) if constant(node, index) is not None), None)
    bound, data = (None, None) if place is None else (constant(node, place), node.inputs[1 - place])
    if bound is None or data is None or bound.size != 1 or bound.ndim > number_of_axes(data):
        return
    side = 1 if node.op_type == "Max" else 2
    turn_into(node, "Clip", inputs=side + 1)
    node.replace_input_with(0, data)
    node.replace_input_with(1, None)
    set_constant(node, side, bound.reshape(()))


def _mean(node: ir.Node) -> None:
    """Over rows and columns, or over a sequence: the pooling, and what drops these axes."""
    value = node.inputs[0]
    rank = number_of_axes(value)
    axes = constant(node, 1) if len(node.inputs) > 1 else attribute(node, "axes")
    if value is None or rank not in (3, 4) or axes is None:
        return
    if sorted(int(axis) % rank for axis in np.ravel(axes)) != list(range(2, rank)):
        return
    if not attribute(node, "keepdims", 1):
        pool = insert_before(
            node, "GlobalAveragePool", f"{node.name}.pool", value, [*sizes(value)[:2], *[1] * (rank - 2)]
        )
        name, node.name = node.name, f"{node.name}.flatten"
        pool.name = name  # the mean is what the user's node computes
        node.replace_input_with(0, pool.outputs[0])
        turn_into(node, "Flatten", inputs=1)
    else:
        turn_into(node, "GlobalAveragePool", inputs=1)


def _flatten(node: ir.Node) -> None:
    """A Reshape, or a Squeeze of what has one row and one column, that keeps the batch and lines up the rest. Of several in a
    row the last does it alone."""
    given = [value for value in _before_reshapes(node) if _lines_up(value, node.outputs[0])]
    if given:
        node.replace_input_with(0, given[-1])
        turn_into(node, "Flatten", inputs=1)


def _reshape(node: ir.Node) -> None:
    if not shuffle_to_gather(node) and not reshape_of_blocks(node):
        _flatten(node)


def _pad(node: ir.Node) -> None:
    if not crop(node):
        pad_into_pool(node)


def _before_reshapes(node: ir.Node) -> Iterator[ir.Value]:
    """What the node is given, and what nodes before it that change the shape alone are given, which has the same elements."""
    value = node.inputs[0]
    while value is not None:
        yield value
        producer = value.producer()
        value = producer.inputs[0] if producer is not None and producer.op_type in RESHAPING else None


def _lines_up(given: ir.Value, made: ir.Value) -> bool:
    before, after = sizes(given), sizes(made)
    if len(before) < 3 or len(after) != 2 or any(size is None for size in (*before[1:], after[1])):
        return False
    # the number of elements stays, so if the rest is equal, the batch is
    return after[1] == math.prod(int(size or 0) for size in before[1:])


def _gemm(node: ir.Node) -> None:
    """C that is one number or one for each column stays, as (N); other numbers for every row are added behind."""
    bias, weight = constant(node, 2), node.inputs[1]
    shape = sizes(weight)
    if bias is None or bias.ndim < 1 or len(shape) != 2:
        return
    columns = shape[0] if attribute(node, "transB", 0) else shape[1]
    if columns is None:
        return
    if bias.ndim == 1 or bias.shape[0] == 1:
        if bias.shape != (columns,):
            set_constant(node, 2, np.broadcast_to(bias.reshape(-1), (int(columns),)))
        return
    made = np.broadcast_to(bias * np.float32(attribute(node, "beta", 1.0)), (len(bias), int(columns)))
    node.resize_inputs(2)
    node.attributes.pop("beta", None)
    insert_after(node, "Add", f"{node.name}.rows", made.astype(bias.dtype), sizes(node.outputs[0]))


RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
_MOVES: dict[str, Callable[[ir.Node], object]] = {
    "Reshape": reshape_of_blocks,
    "SpaceToDepth": space_to_depth,
    "DepthToSpace": depth_to_space,
    "Pad": crop,
}
RULES: dict[str, Callable[[ir.Node], None]] = {
    "Clip": _clip,
    "Max": _extremum,
    "Min": _extremum,
    "Sum": _sum,
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Split": split_into_slices,
    "Gather": count_from_the_front,
    "Squeeze": _flatten,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Conv": explicit_padding,
    "ConvTranspose": explicit_cut,
    "MaxPool": explicit_padding,
    "AveragePool": explicit_padding,
    "Pad": _pad,
    "SpaceToDepth": space_to_depth,
    "DepthToSpace": depth_to_space,
}
