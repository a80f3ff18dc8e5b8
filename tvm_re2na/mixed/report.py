"""What a search for widths tried, and what is left of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WidthTrial:
    """One network: the layers in float and those at full width, what both cost, and what it answers on the images held back.

    `float_macs`: multiply-accumulates of an image that stay on the CPU; `weight_bits`: of all weights, 32 each in float. `snr_db`:
    of the scores, None where there is no noise. `lost_points`: of top-1, None without labels.
    """

    keep_float: tuple[str, ...]
    full_width: tuple[str, ...]
    float_macs: int
    weight_bits: int
    snr_db: float | None
    top1: float | None
    lost_points: float | None
    meets: bool

    @property
    def accuracy(self) -> float:
        """To compare by."""
        return math.inf if self.snr_db is None else self.snr_db

    @property
    def cost(self) -> tuple[int, int]:
        return self.float_macs, self.weight_bits


@dataclass(frozen=True)
class WidthSearch:
    """`trials` in the order in which they were made; `macs`: of the network, for an image. `seen_images` were there to quantise
    with, all figures are of the `held_back_images`. `chosen`: the cheapest that meets the target."""

    target: str
    seen_images: int
    held_back_images: int
    top1_float: float | None
    macs: int
    trials: tuple[WidthTrial, ...]
    chosen: WidthTrial

    @property
    def front(self) -> tuple[WidthTrial, ...]:
        """Trials that no other one beats in MACs, weight bits and accuracy at once; the cheapest first."""

        def beats(one: WidthTrial, other: WidthTrial) -> bool:
            better = (one.cost[0] <= other.cost[0], one.cost[1] <= other.cost[1], one.accuracy >= other.accuracy)
            return all(better) and (one.cost, one.accuracy) != (other.cost, other.accuracy)

        kept = [trial for trial in self.trials if not any(beats(other, trial) for other in self.trials)]
        return tuple(sorted(kept, key=lambda trial: (trial.cost, trial.accuracy)))

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data |= {name: [dataclasses.asdict(trial) for trial in getattr(self, name)] for name in ("trials", "front")}
        return data | {"chosen": dataclasses.asdict(self.chosen)}
