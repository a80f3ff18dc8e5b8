"""What requantising changed, and what it costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tvm_re2na.guests.encoding import Encoding


@dataclass(frozen=True)
class Form:
    """How a tensor is quantised. Where scales or zero points differ by channel, the smallest and the largest."""

    kind: str
    scale: tuple[float, float]
    zero: tuple[int, int]
    per_channel: bool

    @classmethod
    def of(cls, how: Encoding) -> Form:
        scale = float(how.scale.min()), float(how.scale.max())
        return cls(how.kind, scale, (int(how.zero.min()), int(how.zero.max())), not how.per_tensor)


@dataclass(frozen=True)
class TensorChange:
    """`name` is the guest's tensor, of weights the layer. `before` or `after` is None where the tensor is not quantised there."""

    name: str
    role: str  # activation | weight
    before: Form | None
    after: Form | None


@dataclass(frozen=True)
class Cost:
    """Guest against twin, both in ONNX Runtime. `agreement`: share of images of the same best class. `snr_db`: the guest's
    outputs over the twin's difference from them, None where there is no difference. `top1` is None without labels."""

    images: int
    agreement: float
    snr_db: float | None
    guest_top1: float | None
    twin_top1: float | None


@dataclass(frozen=True)
class RequantizationReport:
    """`exact`: the guest was exact already and is the result, unchanged; `changes` is empty then, and `cost` None.

    `overflowing`: the layers of a guest with the right numbers whose sums leave the accumulator on the calibration images.
    """

    exact: bool
    overflowing: tuple[str, ...] = ()
    changes: tuple[TensorChange, ...] = ()
    cost: Cost | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return dataclasses.asdict(self)
