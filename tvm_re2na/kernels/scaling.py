"""From sums to results: what follows the sums of a convolution or a dense layer, in a vector's lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.offload.fixed_point import FRACTION_BITS, fixed_points
from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.kernels.dialect import tir
from tvm_re2na.kernels.instructions import Expr, Instructions

INT32 = np.iinfo(np.int32)
OPAQUE = 8  # TVM's number for functions that it fuses with nothing
FIELDS = ("data_zero", "low", "high", "multiplier", "shift", "zero", "lowest", "highest")


@dataclass(frozen=True)
class Scaling:
    """Clamp to `before`, times `multiplier` / 2**`shift` with halves up, plus `zero`, clamp to `after`.

    `data_zero` is the zero point of the data, which is subtracted before anything is multiplied.
    """

    data_zero: int
    before: tuple[int, int]
    multiplier: int
    shift: int
    zero: int
    after: tuple[int, int]

    @property
    def shifts(self) -> bool:
        """Whether shifting is all; then 32 bits are enough."""
        return self.multiplier == 1 and 0 <= self.shift < 32

    def numbers(self) -> npt.NDArray[np.int32]:
        """In the order of FIELDS: an argument, so that layers which differ in these only share one function."""
        bounds = [int(np.clip(bound, INT32.min, INT32.max)) for bound in (*self.before, *self.after)]
        return np.array([self.data_zero, *bounds[:2], self.multiplier, self.shift, self.zero, *bounds[2:]], np.int32)


def scaling_of(op: Operator) -> Scaling:
    """What follows the sums of a linear operator, in numbers."""
    if op.before is None or op.after is None:
        raise ValueError("a clamp without bounds")
    ((multiplier, shift),) = fixed_points(op.rescales[0])
    half = FRACTION_BITS - 1
    if multiplier == 2**half and shift >= half:  # a power of two
        multiplier, shift = 1, shift - half
    zeros = int(op.zero_points[0] or 0), int(op.zero_points[-1] or 0)
    return Scaling(zeros[0], op.before, multiplier, shift, zeros[1], op.after)


def narrowing(isa: Instructions, numbers: Any, shifts: bool, dtype: str) -> Callable[[Expr], Expr]:
    """What makes results of a vector of sums; `numbers` is the buffer of `Scaling.numbers`."""

    def number(field: str) -> Expr:
        return isa.spread(numbers[FIELDS.index(field)])

    def narrow(sums: Expr) -> Expr:
        sums = tir.min(tir.max(sums, number("low")), number("high"))
        scaled = _shifted(isa, sums, numbers) if shifts else _multiplied(isa, sums, numbers)
        result = tir.min(tir.max(scaled + number("zero"), number("lowest")), number("highest"))
        return tir.Cast(f"{dtype}x{isa.lanes}", result)

    return narrow


def _shifted(isa: Instructions, sums: Expr, numbers: Any) -> Expr:
    """The last bit that is cut off is added: no sum is so large that this overflows."""
    shift = numbers[FIELDS.index("shift")]
    last = tir.max(shift - 1, tir.const(0, "int32"))
    counts = tir.min(shift, tir.const(1, "int32"))
    return (sums >> isa.spread(shift)) + ((sums >> isa.spread(last)) & isa.spread(counts))


def _multiplied(isa: Instructions, sums: Expr, numbers: Any) -> Expr:
    wide, narrow = f"int64x{isa.lanes}", f"int32x{isa.lanes}"
    multiplier, shift = (tir.Cast("int64", numbers[FIELDS.index(field)]) for field in ("multiplier", "shift"))
    half = tir.const(1, "int64") << (shift - 1)
    product = tir.Cast(wide, sums) * isa.spread(multiplier) + isa.spread(half)
    return tir.Cast(narrow, product >> isa.spread(shift))
