"""Functions of single numbers: floats between a `dequantize` and a `quantize`, in which each element depends on one byte alone.

Such a function is a table of 256 bytes, and the table is its meaning: on the machine, and on the CPU of either TVM, which would not
round alike. It is taken from the graph, whatever operators it is made of, as ONNX Runtime computes them: one after the other, in
floats of 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tvm_re2na.frontends.common import elementwise
from tvm_re2na.frontends.common.description import Shape
from tvm_re2na.frontends.common.elementwise import FUNCTIONS, MOVES, Floats
from tvm_re2na.frontends.common.expressions import Expr, ExpressionReader, Quantity
from tvm_re2na.frontends.common.qdq import clamps_before, same_scale

BYTES = np.arange(-128, 128)
MOST_CALLS = 256  # of a function, those that are read twice counted twice


class ByteFunction(NamedTuple):
    """`data`: the int8 tensor; `entries` (256,): what becomes of -128, of -127, and so on."""

    data: Expr
    entries: npt.NDArray[np.int8]


def byte_function(quantize: Expr, reader: ExpressionReader) -> ByteFunction | None:
    """The function that ends with `quantize`; None where there is none, and where the form is another one, or moves bytes only."""
    target = reader.quantity(quantize)
    known = len(target.scales) == 1 and target.zero is not None and reader.dtype(quantize) == "int8"
    if not known or _is_another_form(quantize, reader):
        return None
    chain = _Chain(reader, _extent(reader.shape(quantize)))
    with np.errstate(all="ignore"):  # what is no number becomes a byte all the same
        values = chain.values(quantize.args[0])
        if values is None or chain.data is None or not chain.computes:
            return None
        return ByteFunction(chain.data, _quantised(values, target))


def _is_another_form(quantize: Expr, reader: ExpressionReader) -> bool:
    """A clip, which keeps the scale, or a sum or product in integers, also one of a tensor with itself."""
    clamps, main = clamps_before(quantize, reader)
    if reader.op(main) == "dequantize":
        return bool(clamps) and same_scale(main, quantize, reader)
    operands = main.args if reader.op(main) in ("add", "multiply") else []
    return bool(operands) and all(reader.op(reader.value(operand)) == "dequantize" for operand in operands)


class _Chain:
    """Operators between one quantised tensor, of which they read nothing but single elements, and their result."""

    def __init__(self, reader: ExpressionReader, extent: Any) -> None:
        self.data: Expr | None = None
        self.computes = False  # anything: does not only move
        self._reader = reader
        self._extent = extent
        self._source: tuple[tuple[float, ...], int | None] | None = None
        self._left = MOST_CALLS

    def values(self, expr: Expr) -> Floats | None:
        """What `expr` is for each byte (256,), or a number (); None where other things have a say in it."""
        reader = self._reader
        expr = reader.value(expr)
        array = reader.array(expr)
        if array is not None:
            number = reader.number(expr)
            return None if number is None or array.dtype != np.float32 else np.asarray(number, np.float32)
        self._left -= 1
        if self._left < 0:
            return None
        found = self._dequantized(expr) if reader.op(expr) == "dequantize" else self._computed(expr)
        alike = found is None or not found.ndim or _extent(reader.shape(expr)) == self._extent
        return found if alike else None

    def _dequantized(self, dequantize: Expr) -> Floats | None:
        reader = self._reader
        quantity = reader.quantity(dequantize)
        data = dequantize.args[0]
        if reader.dtype(data) != "int8" or reader.constant(reader.value(data)):
            return None
        while reader.op(reader.value(data)) in MOVES:
            data = reader.value(data).args[0]
        if self.data is None and len(quantity.scales) == 1 and quantity.zero is not None:
            self.data, self._source = data, (quantity.scales, quantity.zero)
        same = self.data is not None and reader.value(self.data).same_as(reader.value(data))
        if not same or self._source != (quantity.scales, quantity.zero):
            return None
        return (BYTES - int(quantity.zero or 0)).astype(np.float32) * np.float32(quantity.scales[0])

    def _computed(self, call: Expr) -> Floats | None:
        name = self._reader.op(call)
        if name in FUNCTIONS:
            return self._applied(FUNCTIONS[name], call.args)
        if name in MOVES:
            return self.values(call.args[0])
        if name == "full_like":
            return self.values(call.args[1])
        of_call = _OF_CALL.get(name)
        function = of_call(call, self._reader) if of_call is not None else None
        return self._applied(function, call.args[:1]) if function is not None else None

    def _applied(self, function: Callable[..., Floats], arguments: Any) -> Floats | None:
        self.computes = True
        operands = []
        for argument in arguments:
            operand = self.values(argument)
            if operand is None:
                return None
            operands.append(operand)
        return np.asarray(function(*operands))


def _clip(call: Expr, reader: ExpressionReader) -> Callable[[Floats], Floats] | None:
    low, high = reader.clamp(call)
    return None if low is None or high is None else lambda x: elementwise.clip(x, low, high)


def _leaky_relu(call: Expr, reader: ExpressionReader) -> Callable[[Floats], Floats]:
    del reader
    return lambda x: elementwise.leaky_relu(x, float(call.attrs.alpha))


def _cast(call: Expr, reader: ExpressionReader) -> Callable[[Floats], Floats] | None:
    return (lambda x: x.astype(np.float32)) if reader.dtype(call) == "float32" else None


# operators that attributes are a part of; in Relay's and in Relax's name
_OF_CALL: dict[str, Callable[[Expr, ExpressionReader], Callable[[Floats], Floats] | None]] = {
    "clip": _clip,
    "nn.leaky_relu": _leaky_relu,
    "nn.leakyrelu": _leaky_relu,
    "cast": _cast,
    "astype": _cast,
}


def _extent(shape: Shape) -> Any:
    """Elements of a tensor, or where some size is not known, its shape."""
    return shape if None in shape else math.prod(size or 0 for size in shape)


def _quantised(values: Floats, target: Quantity) -> npt.NDArray[np.int8]:
    """As QuantizeLinear does it: exact halves to even. What is no number becomes the smallest, as in ONNX Runtime on x86."""
    steps = np.rint(values / np.float32(target.scales[0])) + np.float32(target.zero or 0)
    return np.where(np.isnan(steps), -128, np.clip(steps, -128, 127)).astype(np.int8)
