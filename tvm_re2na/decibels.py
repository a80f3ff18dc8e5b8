"""Signal over noise, of two energies."""

from __future__ import annotations

import math

FLOOR = 1e-30  # an energy that counts as none, of either


def decibels(signal: float, noise: float) -> float | None:
    """To two decimals; None where there is no difference, or one is no number. Integers may be of any size."""
    if not (0 < noise < math.inf and 0 < signal < math.inf):
        return None
    return round(10 * (math.log10(signal) - math.log10(noise)), 2)


def floored_decibels(signal: float, noise: float) -> float:
    """Energies below FLOOR count as FLOOR, so that results without a difference have a number too."""
    return 10 * math.log10(max(signal, FLOOR) / max(noise, FLOOR))
