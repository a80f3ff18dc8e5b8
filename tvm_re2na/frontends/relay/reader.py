"""Reads the QDQ forms of a Relay module for `common.qdq`."""

from __future__ import annotations

from typing import Any

from tvm_re2na.frontends.common.expressions import ExpressionReader, Padding, Weight
from tvm_re2na.frontends.relay.describe import array_of, dtype_of, scalar_of, shape_of
from tvm_re2na.frontends.relay.walk import op_name

Expr = Any  # tvm.relay.Expr; TVM carries no types


class RelayReader(ExpressionReader):
    """Expressions of Relay are no variables: they stand for themselves. A padding becomes part of a convolution by `patterns`."""

    holds_padding = False

    def __init__(self) -> None:
        super().__init__(lambda expr: op_name(expr).removeprefix("qnn."), array_of, shape_of, dtype_of)

    def value(self, expr: Expr) -> Expr:
        return expr

    def bias(self, node: Expr) -> Expr | None:
        """The channels stand on axis 1, which is the last of a dense layer."""
        main, bias = node.args
        axis = int(node.attrs.axis) if op_name(node) == "nn.bias_add" else -1
        return bias if axis % len(shape_of(main)) == 1 else None

    def weight(self, main: Expr) -> Weight:
        operand = main.args[1]
        transposed = op_name(operand) == "transpose" and len(shape_of(operand)) == 2
        return Weight(operand.args[0], channels_last=True) if transposed else Weight(operand)

    def fields(self, expr: Expr) -> list[Expr]:
        return list(expr.fields)

    def clamp(self, clamp: Expr) -> tuple[float | None, float | None]:
        if op_name(clamp) == "clip":
            return float(clamp.attrs.a_min), float(clamp.attrs.a_max)
        bound = scalar_of(clamp.args[1]) if len(shape_of(clamp)) == len(shape_of(clamp.args[0])) else None
        return (bound, float("inf")) if op_name(clamp) == "maximum" else (-float("inf"), bound)

    def padding(self, pad: Expr) -> Padding:
        return Padding(pad.attrs.pad_width, scalar_of(pad.args[1]))
