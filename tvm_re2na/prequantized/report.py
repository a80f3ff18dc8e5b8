"""What re-quantising changed, and what it costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tvm_re2na.prequantized.encoding import Encoding


@dataclass(frozen=True)
class EncodingSummary:
    """How a tensor is quantised. Where scales or zero points differ by channel, the smallest and the largest."""

    kind: str
    scale: tuple[float, float]
    zero: tuple[int, int]
    per_channel: bool

    @classmethod
    def of(cls, how: Encoding) -> EncodingSummary:
        scale = float(how.scale.min()), float(how.scale.max())
        return cls(how.kind, scale, (int(how.zero.min()), int(how.zero.max())), not how.per_tensor)


@dataclass(frozen=True)
class TensorChange:
    """`name` is the given model's tensor, of weights the layer. `before` or `after`: None where it is not quantised there."""

    name: str
    role: str  # activation | weight
    before: EncodingSummary | None
    after: EncodingSummary | None


@dataclass(frozen=True)
class RequantizationCost:
    """The given model against the re-quantised one, both in ONNX Runtime. `agreement`: share of images of the same best class.
    `snr_db`: the given model's outputs over the difference from them, None where there is none. A top-1 is None without labels."""

    images: int
    agreement: float
    snr_db: float | None
    given_top1: float | None
    requantized_top1: float | None


@dataclass(frozen=True)
class RequantizationReport:
    """`exact`: the model was exact already and is the result, unchanged; `changes` is empty then, and `cost` None.

    `overflowing`: the layers of a model that is exact otherwise, whose sums leave the accumulator on the calibration images.
    """

    exact: bool
    overflowing: tuple[str, ...] = ()
    changes: tuple[TensorChange, ...] = ()
    cost: RequantizationCost | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return dataclasses.asdict(self)
