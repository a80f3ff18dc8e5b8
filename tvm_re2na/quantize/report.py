"""What the quantiser chose and how close each accumulator came to its limit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One linear layer. Exponents are base-2; sums are in units of 2**(e_x + e_w), rounding half included.

    observed_max: largest |sum| on the calibration images, of the quantised network; limit: the accumulator's largest value;
    headroom: limit / observed_max; worst_case: largest |sum| that any input of the layer could cause (L1 norm of the weights, and
    that a ReLU before the layer leaves nothing below 0); carry_bits: bits above a single product's width that observed_max needs.
    snr_db: energy of the float network's result over that of the quantised network's difference from it, on the search's samples.
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
    snr_db: float


@dataclass(frozen=True)
class QuantizationReport:
    """Layers in order of execution."""

    layers: tuple[LayerReport, ...]

    def to_json(self) -> dict[str, Any]:
        return {"layers": [asdict(layer) for layer in self.layers]}
