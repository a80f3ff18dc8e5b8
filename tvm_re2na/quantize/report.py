"""What the quantiser chose and how close each accumulator came to its limit."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One linear layer. Exponents are base-2; sums are in units of 2**(e_x + e_w), rounding half included.

    observed_max: largest |sum| on the calibration images, of the quantised network; limit: the accumulator's largest value;
    headroom: limit / observed_max; worst_case: largest |sum| that any input of the layer could cause (L1 norm of the weights, and
    that a ReLU before the layer leaves nothing below 0); carry_bits: bits above a single product's width that observed_max needs.
    snr_db: energy of the float network's result over that of the quantised network's difference from it, on the search's samples.
    ties: share of those samples' sums that lie halfway between two results; ONNX Runtime rounds them to even, the machine up.
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
    ties: float


@dataclass(frozen=True)
class OutputReport:
    """One output of the model on the first calibration images: energy of the float network's answer over that of the difference
    from it, on the machine, and in ONNX Runtime, which rounds halves to even. None where there is no difference."""

    name: str
    snr_db: float | None
    onnxruntime_snr_db: float | None


@dataclass(frozen=True)
class QuantizationReport:
    """Layers in order of execution; `kept_float`: layers whose sums did not fit the accumulator, in float for that."""

    layers: tuple[LayerReport, ...]
    outputs: tuple[OutputReport, ...] = ()
    kept_float: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "outputs": [asdict(output) for output in self.outputs],
            "kept_float": list(self.kept_float),
        }

    def warn(self) -> None:
        """Of layers that were to be quantised and are not."""
        for name in self.kept_float:
            warnings.warn(f"{name}: its sums do not fit the accumulator, it stays in float", UserWarning, stacklevel=3)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> QuantizationReport:
        """What `to_json` gave."""
        layers = tuple(LayerReport(**layer) for layer in data["layers"])
        outputs = tuple(OutputReport(**output) for output in data["outputs"])
        return cls(layers, outputs, tuple(data["kept_float"]))
