"""Ratios of scales as a multiplier and a shift, as TVM's fixed_point_multiply has them."""

from __future__ import annotations

import math

from tvm_re2na.codegen.offload.operator import Rescale

FRACTION_BITS = 31  # of the multiplier


def is_computable(rescale: Rescale, *, several: bool = False) -> bool:
    """One positive scale each, or `several` of the source, and ratios that a product of 64 bits holds."""
    if len(rescale.target) != 1 or not rescale.source or (len(rescale.source) > 1 and not several):
        return False
    target = rescale.target[0]
    return target > 0 and all(
        source > 0 and 2.0**-FRACTION_BITS < source / target < 2.0 ** (FRACTION_BITS - 1) for source in rescale.source
    )


def fixed_point(ratio: float) -> tuple[int, int]:
    """The multiplier, of FRACTION_BITS, and the shift to the right, which stand for a ratio of scales."""
    fraction, exponent = math.frexp(ratio)
    multiplier, shift = round(fraction * 2**FRACTION_BITS), FRACTION_BITS - exponent
    return (multiplier // 2, shift - 1) if multiplier == 2**FRACTION_BITS else (multiplier, shift)


def fixed_points(rescale: Rescale) -> list[tuple[int, int]]:
    """`fixed_point` of each ratio: one, or one for each channel."""
    return [fixed_point(source / rescale.target[0]) for source in rescale.source]
