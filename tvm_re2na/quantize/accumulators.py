"""The accumulator as an input of the search: what a layer's sums take, and what the machine has.

A sum counts in units of 2**(e_x + e_w) and starts from the file's bias plus the rounding half: a machine that rounds adds the half,
and one that truncates finds it in its bias.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import half, halves
from tvm_re2na.codegen.graph.bounds import sum_range
from tvm_re2na.quantize.options import IntegerRange, QuantizeOptions
from tvm_re2na.quantize.plan import Integers


def largest_sum(magnitude: float, unit: int, lsb: int, arch: Architecture) -> float:
    """What an accumulator holds at most whose sums reach `magnitude`, in units of 2**unit, the rounding half included."""
    return math.ldexp(magnitude, -unit) + half(min(max(lsb, 0), arch.acc_bits - 1))


def longest_sum(arch: Architecture, options: QuantizeOptions) -> int:
    """How many values of the data's width an accumulator holds the sum of, with headroom and rounding, whatever the values are."""
    return int(arch.acc_max / (0.5 - options.headroom * options.ranges(arch)[1][0]))


def worst_case(integers: Integers, lsbs: npt.NDArray[np.int64], source: IntegerRange) -> int:
    """The largest |sum| that any input within `source` can cause, the rounding half included."""
    low, high = sum_range(integers.weight, integers.bias + halves(lsbs), source)
    return int(max(-low.min(), high.max()))


def carry_bits(largest: int, data_bits: int) -> int:
    """Bits that sums need beyond the 2 * data_bits - 1 bits of a product, sign included."""
    needed = math.ceil(math.log2(largest + 1)) + 1 if largest > 0 else 1
    return max(0, needed - (2 * data_bits - 1))


def shrink_to_fit(
    scaled: npt.NDArray[np.float64], start: npt.NDArray[np.int64], source: IntegerRange, arch: Architecture
) -> npt.NDArray[np.int64]:
    """Integer weights (O, k) near `scaled` with which no input within `source` can overflow a sum that starts at `start` (O,).

    Each output's weights lose the same amount of magnitude, the least that will do, and are rounded towards zero: the projection
    onto an L1 ball, rounded as in A2Q. All of them are 0 where the start alone leaves no room.
    """
    least = np.zeros(len(scaled))
    most = np.abs(scaled).max(1)
    for _ in range(24):  # halving finds the amount to 2**-24 of the largest weight
        middle = (least + most) / 2
        low, high = sum_range(_shrunk(scaled, middle), start, source)
        fits = (low >= arch.acc_min) & (high <= arch.acc_max)
        least, most = np.where(fits, least, middle), np.where(fits, middle, most)
    return _shrunk(scaled, most)


def _shrunk(scaled: npt.NDArray[np.float64], amount: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    kept = np.maximum(np.abs(scaled) - amount[:, None], 0)
    return (np.sign(scaled) * np.floor(kept)).astype(np.int64)
