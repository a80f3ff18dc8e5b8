"""Relax -> `codegen.offload.operator.Operator`: reads the attributes, constants and types of one matched form.

Relax keeps the QDQ form: an operator in floating point between `dequantize` and `quantize`. What it stands for, `common.qdq` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import relax

from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.frontends.common import qdq
from tvm_re2na.frontends.common.expressions import ExpressionReader, Padding, Weight
from tvm_re2na.frontends.relax.walk import Expr, Values, array_of, dtype_of, op_name, scalar_of, shape_of, value_of


def describe(kind: str, result: Expr, values: Values, arguments: Sequence[Expr] = ()) -> Operator:
    """The neutral description of the form of `kind` whose last call is `result`; `values` tells what its variables are bound to,
    `arguments` are the parameters of the function that it is."""
    reader = RelaxReader(values)
    reader.arguments = arguments
    return qdq.describe(kind, result, reader)


def is_form(kind: str, result: Expr, values: Values) -> bool:
    """Whether the form amounts to one integer operator."""
    return qdq.is_form(kind, result, RelaxReader(values))


class RelaxReader(ExpressionReader):
    """`values` tells what variables are bound to."""

    def __init__(self, values: Values) -> None:
        super().__init__(op_name, array_of, shape_of, dtype_of)
        self._values = values

    def value(self, expr: Expr) -> Expr:
        return value_of(expr, self._values)

    def bias(self, node: Expr) -> Expr | None:
        """Added to the sums of a convolution in the shape (1, channels, 1, 1)."""
        bias = self.value(node.args[1])
        if op_name(bias) != "reshape":
            return bias
        channels = shape_of(node)[1]
        return self.value(bias.args[0]) if shape_of(bias) == (1, channels, 1, 1) else None

    def weight(self, main: Expr) -> Weight:
        operand = self.value(main.args[1])
        if op_name(operand) == "permute_dims":
            return Weight(operand.args[0])
        return Weight(operand, channels_last=op_name(main) == "matmul")

    def fields(self, expr: Expr) -> list[Expr]:
        return list(self.value(expr).fields)

    def numbers(self, expr: Expr) -> npt.NDArray[Any] | None:
        """An array, or numbers that stand in a tuple."""
        value = self.value(expr)
        if not isinstance(value, relax.Tuple):
            return array_of(value)
        found = [scalar_of(self.value(field)) for field in value.fields]
        return None if None in found else np.array(found, np.int64)

    def clamp(self, clamp: Expr) -> tuple[float | None, float | None]:
        if op_name(clamp) == "clip":
            low, high = (scalar_of(argument) for argument in clamp.args[1:])
            return low, high
        bound = self.number(clamp.args[1])
        return (bound, float("inf")) if op_name(clamp) == "maximum" else (-float("inf"), bound)

    def padding(self, pad: Expr) -> Padding:
        sizes = list(pad.attrs.pad_width)
        return Padding(zip(sizes[::2], sizes[1::2], strict=True), float(pad.attrs.pad_value))
