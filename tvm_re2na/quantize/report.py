"""What the quantiser chose and how close each accumulator came to its limit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

LARGEST_GAP_DB = 3.0  # between images that the search saw and others: beyond it there is a warning,
GOOD_DB = 30.0  # unless the others have as much as this
NAMED = 3  # layers in the warning


@dataclass(frozen=True)
class LayerReport:
    """One linear layer. Exponents are base-2; sums are in units of 2**(e_x + e_w), rounding half included. `finer`: where channels
    have exponents of their own, how many steps the finest is finer than e_w; as many more bits than `lsb` are cut off its sums.

    observed_max: largest |sum| of the quantised network on the images held back; limit: the accumulator's largest value;
    headroom: limit / observed_max; worst_case: largest |sum| that any input of the layer could cause (L1 norm of the weights, and
    that a ReLU before the layer leaves nothing below 0); carry_bits: bits above a single product's width that observed_max needs.
    snr_db: energy of the float network's result over that of the quantised network's difference from it, on the first of the images
    held back; seen_snr_db: the same on the samples that the search chose by. ties: share of the sums of the first images held back
    that lie halfway between two results; ONNX Runtime rounds them to even, the machine up.
    """

    name: str
    op: str
    e_x: int
    e_w: int
    finer: int
    e_y: int
    lsb: int
    observed_max: int
    limit: int
    headroom: float
    carry_bits: int
    worst_case: int
    snr_db: float
    seen_snr_db: float
    ties: float


@dataclass(frozen=True)
class OutputReport:
    """One output of the model on the first images held back: energy of the float network's answer over that of the difference from
    it, on the machine, and in ONNX Runtime, which rounds halves to even; `seen_snr_db` on the machine and on images that the search
    saw. None where there is no difference."""

    name: str
    snr_db: float | None
    onnxruntime_snr_db: float | None
    seen_snr_db: float | None

    def gap(self) -> Iterator[str]:
        """What other images than the search's lose, in words, if that is much, and noticed."""
        if self.snr_db is None or self.seen_snr_db is None or self.snr_db >= GOOD_DB:
            return
        if self.seen_snr_db - self.snr_db > LARGEST_GAP_DB:
            yield f"{self.name} has {self.snr_db:.1f} dB instead of {self.seen_snr_db:.1f}"


@dataclass(frozen=True)
class ImagesReport:
    """How many calibration images the search saw, and how many were held back from it. `synthetic`: there were too few for that,
    and what was held back are disturbed copies of those that it saw."""

    seen: int
    held_back: int
    synthetic: bool


@dataclass(frozen=True)
class QuantizationReport:
    """Layers in order of execution; `kept_float`: layers whose sums did not fit the accumulator, in float for that."""

    layers: tuple[LayerReport, ...]
    images: ImagesReport
    outputs: tuple[OutputReport, ...] = ()
    kept_float: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "images": asdict(self.images),
            "outputs": [asdict(output) for output in self.outputs],
            "kept_float": list(self.kept_float),
        }

    def warn(self) -> None:
        """Of layers that were to be quantised and are not, and of images that are too few."""
        for name in self.kept_float:
            warnings.warn(f"{name}: its sums do not fit the accumulator, it stays in float", UserWarning, stacklevel=3)
        told = ", ".join(line for output in self.outputs for line in output.gap())
        if told:
            widest = sorted(self.layers, key=lambda layer: layer.snr_db - layer.seen_snr_db)[:NAMED]
            what = f"{self.images.seen} calibration images are too few for this network: on others {told}"
            warnings.warn(f"{what}; most in {', '.join(layer.name for layer in widest)}", UserWarning, stacklevel=3)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> QuantizationReport:
        """What `to_json` gave."""
        layers = tuple(LayerReport(**layer) for layer in data["layers"])
        outputs = tuple(OutputReport(**output) for output in data["outputs"])
        return cls(layers, ImagesReport(**data["images"]), outputs, tuple(data["kept_float"]))
