"""What the quantiser chose and how close each accumulator came to its limit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One linear layer. Exponents are base-2; sums are in units of 2**(e_x + e_w), rounding half included.

    observed_max: largest |sum| on the calibration images, of the quantised network; limit: the accumulator's largest value;
    headroom: limit / observed_max; worst_case: largest |sum| that any int8 input could cause (L1 norm of the weights);
    carry_bits: bits above a single product's width that observed_max needs.
    """

    name: str
    op: str
    e_x: int
    e_w: int
    e_y: int
    lsb: int
    observed_max: int
    limit: int
    headroom: float
    carry_bits: int
    worst_case: int


@dataclass(frozen=True)
class QuantizationReport:
    """Layers in order of execution."""

    layers: tuple[LayerReport, ...]

    def to_json(self) -> dict[str, Any]:
        return {"layers": [asdict(layer) for layer in self.layers]}


def carry_bits(observed_max: int, data_bits: int) -> int:
    """Bits that sums need beyond the 2 * data_bits - 1 bits of a product, sign included."""
    needed = math.ceil(math.log2(observed_max + 1)) + 1 if observed_max > 0 else 1
    return max(0, needed - (2 * data_bits - 1))
