"""What has its channels last, (N, H, W, C) or (N, L, C) as TensorFlow and transformers lay it out, with channels second.

A linear layer there, a MatMul with a constant (C, O), becomes a convolution of single pixels. What works element by element follows
a Transpose or such a layer; a Transpose stands behind for whoever reads channels last, and two that undo each other go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir

from tvm_re2na.element_wise import OF_ONE, OF_TWO
from tvm_re2na.onnx_form.parts import (
    Array,
    attribute,
    constant,
    insert_before,
    move_behind,
    number_of_axes,
    set_constant,
    sizes,
    turn_into,
)

ONE_OPERAND = OF_ONE | {"Identity", "Dropout"}
OPERANDS = OF_TWO | {"Concat"}


def channels_second(model: ir.Model) -> None:
    second: dict[ir.Value, ir.Value] = {}  # what has its channels last: the same with channels second
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
            continue
        if _permutes(node, _to_last):
            second[node.outputs[0]] = _known(node.inputs[0])
        elif _permutes(node, _to_second) and node.inputs[0] in second:
            given = second[_known(node.inputs[0])]
            turn_into(node, "Identity", inputs=1)
            node.replace_input_with(0, given)
        elif _is_linear(node):
            _into_convolution(node, second)
        elif _follows(node, second):
            _into_second(node, second)


def _permutes(node: ir.Node, order: Callable[[int], list[int]]) -> bool:
    rank = number_of_axes(node.inputs[0]) if node.inputs else 0
    return node.op_type == "Transpose" and rank in (3, 4) and list(attribute(node, "perm", ())) == order(rank)


def _to_last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def _to_second(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _known(value: ir.Value | None) -> ir.Value:
    if value is None:
        raise TypeError("an input that is not there")
    return value


# -- linear layers


def _is_linear(node: ir.Node) -> bool:
    weight = constant(node, 1)
    matrix = node.op_type == "MatMul" and weight is not None and weight.ndim == 2
    return matrix and number_of_axes(node.inputs[0]) in (3, 4)


def _into_convolution(node: ir.Node, second: dict[ir.Value, ir.Value]) -> None:
    given, weight = _known(node.inputs[0]), constant(node, 1)
    rank = number_of_axes(given)
    if given not in second:
        made = _transpose(node, f"{node.name}.channels_second", given, _to_second(rank))
        second[given] = made
    turn_into(node, "Conv", inputs=2)
    node.replace_input_with(0, second[given])
    if weight is not None:
        set_constant(node, 1, weight.T.reshape(*weight.T.shape, *[1] * (rank - 2)))
    _transpose_behind(node, second)


# -- what follows


def _follows(node: ir.Node, second: dict[ir.Value, ir.Value]) -> bool:
    """Whether all its data is there with channels second, and it means the same for these."""
    rank = number_of_axes(node.outputs[0])
    if node.op_type in ONE_OPERAND:
        return node.inputs[0] in second
    if node.op_type not in OPERANDS or rank not in (3, 4):
        return False
    data = [value for index, value in enumerate(node.inputs) if constant(node, index) is None]
    fixed = [found.ndim for index in range(len(node.inputs)) if (found := constant(node, index)) is not None]
    if (
        not data
        or any(value not in second or number_of_axes(value) != rank for value in data)
        or max(fixed, default=0) > rank
    ):
        return False
    return node.op_type != "Concat" or bool(attribute(node, "axis") % rank == rank - 1)


def _into_second(node: ir.Node, second: dict[ir.Value, ir.Value]) -> None:
    rank = number_of_axes(node.outputs[0])
    for index, value in enumerate(node.inputs):
        fixed = constant(node, index)
        if value in second:
            node.replace_input_with(index, second[value])
        elif fixed is not None and fixed.ndim and node.op_type in OPERANDS:
            set_constant(node, index, _with_channels_second(fixed, rank))
    if node.op_type == "Concat":
        node.attributes["axis"] = ir.AttrInt64("axis", 1)
    _transpose_behind(node, second)


def _with_channels_second(fixed: Array, rank: int) -> Array:
    return np.moveaxis(fixed.reshape(*[1] * (rank - fixed.ndim), *fixed.shape), -1, 1)


# -- transposes


def _transpose(node: ir.Node, name: str, given: ir.Value, order: list[int]) -> ir.Value:
    """`given` in another order, for `node`."""
    made = insert_before(node, "Transpose", name, given, list(_ordered(given, order)))
    made.attributes["perm"] = ir.AttrInt64s("perm", order)
    return made.outputs[0]


def _transpose_behind(node: ir.Node, second: dict[ir.Value, ir.Value]) -> None:
    """The node's result has its channels second now; whoever reads it, or is shown it, gets it as before."""
    result = node.outputs[0]
    shape, rank = sizes(result), number_of_axes(result)
    made = ir.Node(
        "", "Transpose", [result], [ir.AttrInt64s("perm", _to_last(rank))], name=f"{node.name}.channels_last"
    )
    move_behind(node, made, list(shape))
    result.shape = ir.Shape([shape[axis] for axis in _to_second(rank)])
    second[made.outputs[0]] = result


def _ordered(value: ir.Value, order: list[int]) -> Iterator[int | None]:
    shape = sizes(value)
    return (shape[axis] for axis in order)
