"""The integers of power-of-two quantisation, as front ends, the compiler and the quantiser need them."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", int, float)


def inverting_bias(shift: int) -> int:
    """What is added to -x, beside the half that a shift rounds up with, so that -1 - round(x >> shift) is left of it."""
    return -1 - ((1 << shift) if shift else 0)


def half(lsb: int) -> int:
    """What a requantisation adds before it cuts off `lsb` bits: TVM rounds halves up."""
    return 1 << (lsb - 1) if lsb > 0 else 0


def halves(lsbs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`half` of each."""
    return np.where(lsbs > 0, np.left_shift(1, np.maximum(lsbs, 1) - 1), 0)


def exponent(scale: float) -> int:
    """`e` of a scale 2**e."""
    return math.frexp(scale)[1] - 1


def compose(first: tuple[Number, Number], then: tuple[Number, Number]) -> tuple[Number, Number]:
    """The bounds that clamp to `first` and then to `then` at once."""
    low, high = (min(max(bound, then[0]), then[1]) for bound in first)
    return low, high
