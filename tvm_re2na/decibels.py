"""Signal over noise."""

from __future__ import annotations

import math


def decibels(signal: float, noise: float) -> float | None:
    """Of two energies, to two decimals; None where there is no difference, or one is no number. Integers may be of any size."""
    if not (0 < noise < math.inf and 0 < signal < math.inf):
        return None
    return round(10 * (math.log10(signal) - math.log10(noise)), 2)
