"""From sums to results: what follows the sums of a convolution or a dense layer, in a vector's lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import tirx

from tvm_re2na.relax.kernels.instructions import Expr, Instructions

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


def narrowing(isa: Instructions, numbers: Any, shifts: bool, dtype: str) -> Callable[[Expr], Expr]:
    """What makes results of a vector of sums; `numbers` is the buffer of `Scaling.numbers`."""

    def number(field: str) -> Expr:
        return isa.spread(numbers[FIELDS.index(field)])

    def narrow(sums: Expr) -> Expr:
        sums = tirx.min(tirx.max(sums, number("low")), number("high"))
        scaled = _shifted(isa, sums, numbers) if shifts else _multiplied(isa, sums, numbers)
        result = tirx.min(tirx.max(scaled + number("zero"), number("lowest")), number("highest"))
        return tirx.Cast(f"{dtype}x{isa.lanes}", result)

    return narrow


def _shifted(isa: Instructions, sums: Expr, numbers: Any) -> Expr:
    """The last bit that is cut off is added: no sum is so large that this overflows."""
    shift = numbers[FIELDS.index("shift")]
    last = tirx.max(shift - 1, tirx.const(0, "int32"))
    counts = tirx.min(shift, tirx.const(1, "int32"))
    return (sums >> isa.spread(shift)) + ((sums >> isa.spread(last)) & isa.spread(counts))


def _multiplied(isa: Instructions, sums: Expr, numbers: Any) -> Expr:
    wide, narrow = f"int64x{isa.lanes}", f"int32x{isa.lanes}"
    multiplier, shift = (tirx.Cast("int64", numbers[FIELDS.index(field)]) for field in ("multiplier", "shift"))
    half = tirx.const(1, "int64") << (shift - 1)
    product = tirx.Cast(wide, sums) * isa.spread(multiplier) + isa.spread(half)
    return tirx.Cast(narrow, product >> isa.spread(shift))
