"""Blocks of pixels: what brings them into channels becomes Slices of rows and columns and a Concat, which are rather strides than
work; what makes them of channels, however it is written, becomes a DepthToSpace of mode CRD, which torch calls PixelShuffle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import onnx_ir as ir

from tvm_re2na.onnx_form.parts import (
    attribute,
    constant,
    insert_before,
    new_constant,
    producer_of,
    set_constant,
    sizes,
    turn_into,
)

ROWS, COLUMNS = 2, 3  # the axes
# of (N, C, rows, row of the block, columns, column of the block), or of what has its channels in blocks, the order behind
_TO_DEPTH = {"CRD": (0, 1, 3, 5, 2, 4), "DCR": (0, 3, 5, 1, 2, 4)}
_TO_SPACE = {"CRD": (0, 1, 4, 2, 5, 3), "DCR": (0, 3, 4, 1, 5, 2)}


def space_to_depth(node: ir.Node) -> None:
    """The operator of this name."""
    _into_slices(node, node.inputs[0], int(attribute(node, "blocksize")), "DCR")


def depth_to_space(node: ir.Node) -> None:
    """The operator of this name."""
    if attribute(node, "mode", "DCR") == "DCR":
        _into_shuffle(node, node.inputs[0], int(attribute(node, "blocksize")), "DCR")


def reshape_of_blocks(node: ir.Node) -> bool:
    """A Reshape that brings pixels or channels together, which another one has taken apart and a Transpose has reordered."""
    roundings: list[ir.Node] = []
    transpose = _made_by(node, "Transpose", roundings)
    apart = _made_by(transpose, "Reshape", roundings)
    if transpose is None or apart is None or not _change_nothing(roundings, apart.inputs[0]):
        return False
    order, given = tuple(attribute(transpose, "perm") or ()), apart.inputs[0]
    before, between, after = (_known(value) for value in (given, apart.outputs[0], node.outputs[0]))
    if len(before) != 4 or len(between) != 6 or len(after) != 4:
        return False
    for mode in ("CRD", "DCR"):
        size = between[2] if mode == "CRD" else between[1]
        if order == _TO_SPACE[mode] and (between, after) == _apart(before, size, mode):
            _into_shuffle(node, given, size, mode)
            return True
        size = between[3]
        if order == _TO_DEPTH[mode] and (after, between) == _together(before, size):
            _into_slices(node, given, size, mode)
            return True
    return False


def _made_by(node: ir.Node | None, op: str, roundings: list[ir.Node]) -> ir.Node | None:
    """The node of this operator that makes the first input, which may have been quantised and dequantised since: by `roundings`."""
    dequantize = producer_of(node, "DequantizeLinear")
    quantize = producer_of(dequantize, "QuantizeLinear")
    if dequantize is not None and quantize is not None:
        roundings += [dequantize, quantize]
        node = quantize
    return producer_of(node, op)


def _change_nothing(roundings: Sequence[ir.Node], given: ir.Value | None) -> bool:
    """Whether `given` has been rounded like that already: to integers of one scale, which all of them have."""
    first = given.producer() if given is not None else None
    if not roundings:
        return True
    if first is None or first.op_type != "DequantizeLinear":
        return False
    known = [[constant(node, index) for index in (1, 2)] for node in (first, *roundings)]
    if any(array is None or array.size != 1 for arrays in known for array in arrays):
        return False
    found = {(scale.item(), zero.item(), zero.dtype) for scale, zero in known if scale is not None and zero is not None}
    return len(found) == 1


def _known(value: ir.Value | None) -> tuple[int, ...]:
    """Sizes, an open batch as 0; none where others are open."""
    found = sizes(value)
    return () if None in found[1:] else tuple(size or 0 for size in found)


def _apart(before: Sequence[int], size: int, mode: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of what has its channels in blocks, and of the result."""
    batch, channels, height, width = before
    count = channels // max(size * size, 1)
    blocks = (count, size, size) if mode == "CRD" else (size, size, count)
    return (batch, *blocks, height, width), (batch, count, height * size, width * size)


def _together(before: Sequence[int], size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the result, and of what has its pixels in blocks."""
    batch, channels, height, width = before
    rows, columns = height // max(size, 1), width // max(size, 1)
    return (batch, channels * size * size, rows, columns), (batch, channels, rows, size, columns, size)


def _into_shuffle(node: ir.Node, given: ir.Value | None, size: int, mode: str) -> None:
    if given is None:
        return
    shape = sizes(given)
    if mode == "DCR":
        channels = shape[1] if len(shape) == 4 else None
        if channels is None:
            return
        order = np.arange(channels).reshape(size * size, -1).T.ravel()
        chosen = insert_before(node, "Gather", f"{node.name}.order", given, list(shape))
        chosen.resize_inputs(2)
        set_constant(chosen, 1, order)
        chosen.attributes["axis"] = ir.AttrInt64("axis", 1)
        given = chosen.outputs[0]
    turn_into(node, "DepthToSpace", inputs=1)
    node.replace_input_with(0, given)
    node.attributes["blocksize"] = ir.AttrInt64("blocksize", size)
    node.attributes["mode"] = ir.AttrString("mode", "CRD")


def _into_slices(node: ir.Node, given: ir.Value | None, size: int, mode: str) -> None:
    """Of the first pixels of all blocks, of the second ones, and so on; channels in order where theirs comes first."""
    shape = _known(given)
    if given is None or len(shape) != 4 or shape[ROWS] % size or shape[COLUMNS] % size:
        return
    parts = [part.outputs[0] for part in _slices(node, given, size)]
    batch, channels = sizes(given)[0], shape[1]
    result = [batch, channels * size * size, shape[ROWS] // size, shape[COLUMNS] // size]
    last = node
    if mode == "CRD":
        last = insert_before(node, "Concat", f"{node.name}.pixels", given, result)
        turn_into(node, "Gather", inputs=2)
        node.replace_input_with(0, last.outputs[0])
        set_constant(node, 1, np.arange(result[1] or 0).reshape(size * size, -1).T.ravel())
        node.attributes["axis"] = ir.AttrInt64("axis", 1)
    turn_into(last, "Concat", inputs=len(parts))
    for index, part in enumerate(parts):
        last.replace_input_with(index, part)
    last.attributes["axis"] = ir.AttrInt64("axis", 1)


def _slices(node: ir.Node, given: ir.Value, size: int) -> Iterator[ir.Node]:
    shape = _known(given)
    for y, x in product(range(size), repeat=2):
        part = [sizes(given)[0], shape[1], shape[ROWS] // size, shape[COLUMNS] // size]
        made = insert_before(node, "Slice", f"{node.name}.pixel_{y}_{x}", given, part)
        _set_slice(made, [y, x], list(shape[2:]), [ROWS, COLUMNS], [size, size])
        yield made


def _set_slice(node: ir.Node, start: list[int], end: list[int], axes: list[int], steps: list[int]) -> None:
    node.resize_inputs(5)
    for index, (what, numbers) in enumerate({"start": start, "end": end, "axis": axes, "step": steps}.items(), 1):
        node.replace_input_with(index, new_constant(node, f"{node.name}.{what}", np.array(numbers, np.int64)))


def crop(node: ir.Node) -> bool:
    """A Pad with negative widths: a Slice of what is left, and a Pad with the others, if there are any."""
    given, pads = node.inputs[0], constant(node, 1)
    shape = sizes(given)
    if given is None or pads is None or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return False
    before, behind = np.split(pads, 2)
    cut = [axis for axis in range(len(shape)) if min(before[axis], behind[axis]) < 0]
    if attribute(node, "mode", "constant") != "constant" or len(before) != len(shape) or not cut:
        return False
    if any(shape[axis] is None for axis in cut):
        return False
    first = [max(-int(before[axis]), 0) for axis in cut]
    last = [int(shape[axis] or 0) + min(int(behind[axis]), 0) for axis in cut]
    if (pads > 0).any():
        left = list(shape)
        for axis, start, stop in zip(cut, first, last, strict=True):
            left[axis] = stop - start
        made = insert_before(node, "Slice", f"{node.name}.left", given, left)
        node.replace_input_with(0, made.outputs[0])
        set_constant(node, 1, np.maximum(pads, 0))
    else:
        made = node
        turn_into(node, "Slice", inputs=5)
    _set_slice(made, first, last, cut, [1] * len(cut))
    return True
