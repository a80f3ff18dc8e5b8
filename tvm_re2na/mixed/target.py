"""The accuracy that is wanted: `30dB` of signal over noise in the scores, or at most `0.5pt` of top-1 lost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

FORM = re.compile(r"(\d+(?:\.\d+)?)(dB|pt)", re.IGNORECASE)
MOST = {"db": 120.0, "pt": 100.0}


@dataclass(frozen=True)
class Target:
    """`value` in dB, or in points (hundredths) of top-1."""

    value: float
    in_points: bool

    @classmethod
    def read(cls, text: str) -> Target:
        """Raises ValueError for anything else."""
        found = FORM.fullmatch(text)
        value, unit = (float(found[1]), found[2].lower()) if found else (math.nan, "")
        if not found or not value <= MOST[unit]:
            raise ValueError(
                f"'{text}' is no accuracy, like 30dB (at most {MOST['db']:g}) or 0.5pt (at most {MOST['pt']:g})"
            )
        return cls(value, unit == "pt")

    def is_met(self, snr_db: float | None, lost_points: float | None) -> bool:
        """By what `WidthTrial` has of these: no noise meets any dB, points that nobody knows meet none."""
        if self.in_points:
            return lost_points is not None and lost_points <= self.value
        return snr_db is None or snr_db >= self.value

    def __str__(self) -> str:
        return f"at most {self.value:g} points of top-1 lost" if self.in_points else f"{self.value:g} dB"
