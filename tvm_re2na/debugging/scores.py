"""The network's outputs on every side, and the images on which they are worst."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tvm_re2na.debugging.measures import Distance
from tvm_re2na.debugging.operators import SIDES, OperatorTally
from tvm_re2na.debugging.report import WorstImage
from tvm_re2na.opinion.sections import Numbers


class ScoreTally:
    """`names` of the outputs; `chosen`: the number of that which tells the classes apart."""

    def __init__(self, names: Sequence[str], chosen: int) -> None:
        self.names, self._chosen = list(names), chosen
        self._distances = {side: [Distance() for _ in names] for side in SIDES}
        self._classes: list[tuple[int | None, int | None]] = []

    def add(self, count: int, wanted: Sequence[Numbers], sides: dict[str, Sequence[Numbers]]) -> None:
        """`sides`: the outputs of those that were run, the last of which has the last word."""
        for side, outputs in sides.items():
            for distance, given, found in zip(self._distances[side], wanted, outputs, strict=True):
                if given.dtype.kind == "f" and given.shape == found.shape:
                    distance.add(given[:count], found[:count].astype(np.float64), None)
        last = list(sides.values())[-1]
        pairs = (_classes(outputs[self._chosen], count) for outputs in (wanted, last))
        self._classes += zip(*pairs, strict=True)

    def outputs_db(self) -> dict[str, dict[str, float | None]]:
        """By output and side."""
        found: dict[str, dict[str, float | None]] = {}
        for index, name in enumerate(self.names):
            figures = {side: each[index].figures(False) for side, each in self._distances.items()}
            found[name] = {side: each.snr_db for side, each in figures.items() if each is not None}
        return found

    def worst(
        self, count: int, tallies: Sequence[OperatorTally], labels: npt.NDArray[np.int64] | None
    ) -> tuple[WorstImage, ...]:
        """So many, the worst one first; their operators are those of the last side that was run."""
        side = next((name for name in reversed(SIDES) if self._distances[name][self._chosen].by_image.size), SIDES[0])
        known = self._distances[side][self._chosen].image_db()
        order = sorted(range(len(known)), key=lambda image: math.inf if known[image] is None else known[image] or 0.0)
        operators = [(tally.name, _seen(tally, side).image_db()) for tally in tallies]
        return tuple(self._image(image, known[image], operators, labels) for image in order[:count])

    def _image(
        self,
        image: int,
        snr_db: float | None,
        operators: Sequence[tuple[str, list[float | None]]],
        labels: npt.NDArray[np.int64] | None,
    ) -> WorstImage:
        told = [(values[image], name) for name, values in operators if values and values[image] is not None]
        operator_db, operator = min(told, key=lambda each: each[0] or 0.0, default=(None, ""))
        label = None if labels is None or labels[image] < 0 else int(labels[image])
        return WorstImage(image, snr_db, label, *self._classes[image], operator, operator_db)


def _seen(tally: OperatorTally, side: str) -> Distance:
    """What is seen of an operator on Re²Na, otherwise on TVM's CPU, which has the same bits."""
    sides = tally.sides
    return sides[side] if sides[side].by_image.size else sides["tvm"] if sides["tvm"].by_image.size else sides[SIDES[0]]


def _classes(scores: Numbers, count: int) -> list[int | None]:
    """Of the images, where the output is one of scores."""
    if scores.ndim != 2:
        return [None] * count
    return [int(number) for number in scores[:count].argmax(1)]
