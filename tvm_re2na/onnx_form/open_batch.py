"""Shapes that a model computes while its batch is open: `x.view(x.size(0), -1)`.

The model is folded twice more, at two batches. A size that is the same in both is that number; one that is the batch, or a multiple
of it, stays open as -1. What depends on data is folded in neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from tvm_re2na.onnx_form.folding import fold, forget_shapes
from tvm_re2na.onnx_form.parts import attribute, new_constant, sizes

BATCHES = (2, 3)
Sizes = npt.NDArray[np.int64]
# which of their inputs is a shape, or part of one
SHAPE_INPUT = {"Reshape": (1,), "Expand": (1,), "Resize": (3,), "Slice": (1, 2, 3), "Pad": (1,), "Tile": (1,)}


def settle_shapes(model: ir.Model) -> None:
    waiting = [
        (node, index) for node in model.graph for index in SHAPE_INPUT.get(node.op_type, ()) if _open(node, index)
    ]
    batch = _open_input(model)
    if not waiting or batch is None:
        return
    found = [_folded_at(model, size) for size in BATCHES]
    for node, index in waiting:
        low, high = (known.get((str(node.name), index)) for known in found)
        if low is None or high is None or low.shape != high.shape:
            continue
        settled = _settled(low, high, node.op_type)
        if settled is not None:
            node.replace_input_with(index, new_constant(node, f"{node.name}.sizes.{index}", settled))
        elif node.op_type == "Resize":
            _resize_by_scales(node, low, high)
    forget_shapes(model)
    fold(model)


def _open(node: ir.Node, index: int) -> bool:
    value = node.inputs[index] if index < len(node.inputs) else None
    return value is not None and value.const_value is None


def _open_input(model: ir.Model) -> ir.Value | None:
    """The model's input, if nothing of it but the batch is open."""
    inputs = [value for value in model.graph.inputs if value.const_value is None]
    if len(inputs) != 1 or inputs[0].shape is None or not len(inputs[0].shape):
        return None
    first, *others = inputs[0].shape
    return inputs[0] if not isinstance(first, int) and all(isinstance(size, int) for size in others) else None


def _folded_at(model: ir.Model, batch: int) -> dict[tuple[str, int], Sizes]:
    """The shapes that nodes are given, by the node's name and the input's number."""
    fixed = model.clone()  # shares the weights
    value = _open_input(fixed)
    if value is None or value.shape is None:
        return {}
    value.shape = ir.Shape([batch, *list(value.shape)[1:]])
    forget_shapes(fixed)
    fold(fixed)
    found = {}
    for node in fixed.graph:
        for index in SHAPE_INPUT.get(node.op_type, ()):
            given = node.inputs[index] if index < len(node.inputs) else None
            if given is not None and given.const_value is not None:
                found[str(node.name), index] = _asked(node, np.asarray(given.const_value.numpy()))
    return found


def _asked(node: ir.Node, given: Sizes) -> Sizes:
    """Of a Reshape the sizes that come out, in which no 0 and no -1 stand for another."""
    shape = node.outputs[0].shape
    if node.op_type == "Reshape" and shape is not None and all(isinstance(size, int) for size in shape):
        return np.array([int(size) for size in shape], np.int64)
    return given


def _settled(low: Sizes, high: Sizes, op: str) -> Sizes | None:
    """What holds at every batch; None where nothing does. Only a Reshape can leave one size open."""
    differ = low != high
    if not differ.any():
        return low
    follows = (low * BATCHES[1] == high * BATCHES[0]) | ~differ
    if op != "Reshape" or differ.sum() > 1 or not follows.all() or (low < 1).any():
        return None
    return np.where(differ, -1, low).astype(np.int64)


def _resize_by_scales(node: ir.Node, low: Sizes, high: Sizes) -> None:
    """Scales say nothing of the batch, where sizes have to; only such that give these sizes exactly."""
    given = sizes(node.inputs[0])
    if tuple(low[:1]) + tuple(high[:1]) != BATCHES or (low[1:] != high[1:]).any() or len(given) != len(low):
        return
    if attribute(node, "axes") is not None or attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return
    if any(size is None for size in given[1:]):
        return
    old = np.array([1, *given[1:]], np.int64)
    new = np.array([1, *low[1:]], np.int64)
    scales = (new / old).astype(np.float32)
    if (scales * old == new).all() and (scales.astype(np.float64) == new / old).all():
        node.replace_input_with(2, new_constant(node, f"{node.name}.scales", scales))
        node.resize_inputs(3)
