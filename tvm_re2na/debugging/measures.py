"""What is counted of one operator on one side, image by image and over all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.decibels import decibels
from tvm_re2na.opinion.sections import Numbers, Quantiser, Section

Reals = npt.NDArray[np.float64]
VALUE_BINS = 16  # of the whole range of the integers
ERROR_BINS = 17  # steps -8 .. 8, what is beyond counted in the last
MOST_ERROR = ERROR_BINS // 2


@dataclass(frozen=True)
class SideFigures:
    """Of one side against the reference: signal over noise, cosine of the angle between the two, the largest error in steps of the
    result. None: no reference, no difference, or a result that has no steps."""

    snr_db: float | None
    cosine: float | None
    largest_steps: float | None


class Distance:
    """Of some values from those of the reference; an energy for each image."""

    def __init__(self) -> None:
        self._energies: list[Reals] = []  # (n, 4): signal, noise, common, own
        self._largest = 0.0

    def add(self, wanted: Numbers, found: Numbers, step: Reals | None) -> None:
        """A batch; `step`: what a step of the result is worth, to be combined with the values."""
        rows = len(wanted)
        signal, own = wanted.astype(np.float64), found.astype(np.float64)
        noise = own - signal
        if step is not None and noise.size:
            self._largest = max(self._largest, float(np.abs(noise / step).max()))
        pairs = ((signal, signal), (noise, noise), (signal, own), (own, own))
        self._energies.append(np.stack([(a * b).reshape(rows, -1).sum(1) for a, b in pairs], 1))

    @property
    def by_image(self) -> Reals:
        return np.concatenate(self._energies) if self._energies else np.zeros((0, 4))

    def figures(self, steps: bool) -> SideFigures | None:
        """None where nothing was added."""
        if not self._energies:
            return None
        signal, noise, common, own = self.by_image.sum(0).tolist()
        scale = math.sqrt(signal * own)
        cosine = round(common / scale, 6) if scale > 0 else None
        return SideFigures(decibels(signal, noise), cosine, round(self._largest, 3) if steps else None)

    def image_db(self) -> list[float | None]:
        """Signal over noise of each image."""
        return [decibels(signal, noise) for signal, noise, *_ in self.by_image.tolist()]


@dataclass
class Counts:
    """Of integers: how many there are, how many at either end of what they can hold, histograms of them and of their errors."""

    elements: int = 0
    saturated: int = 0
    values: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(VALUE_BINS, np.int64))
    errors: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(ERROR_BINS, np.int64))

    def add(self, integers: Numbers, quantiser: Quantiser, wanted: Numbers | None) -> None:
        """`wanted`: the reference's values, None where there are none."""
        low, high = quantiser.low, quantiser.high
        self.elements += integers.size
        self.saturated += int(((integers <= low) | (integers >= high)).sum())
        kind = np.iinfo(integers.dtype)
        self.values += np.histogram(integers, VALUE_BINS, (float(kind.min), float(kind.max) + 1))[0]
        if wanted is not None:
            off = np.rint((real_of(integers, quantiser) - wanted) / step_of(quantiser, integers.ndim))
            self.errors += np.histogram(
                np.clip(off, -MOST_ERROR, MOST_ERROR), ERROR_BINS, (-MOST_ERROR - 0.5, MOST_ERROR + 0.5)
            )[0]


def step_of(quantiser: Quantiser, axes: int) -> Reals:
    """What a step is worth, to be combined with data of so many axes."""
    shape = [1] * axes
    if quantiser.scale.ndim:
        shape[quantiser.axis] = -1
    return np.asarray(quantiser.scale, np.float64).reshape(shape)


def zero_of(quantiser: Quantiser, axes: int) -> Reals:
    shape = [1] * axes
    if quantiser.zero_point.ndim:
        shape[quantiser.axis] = -1
    return np.asarray(quantiser.zero_point, np.float64).reshape(shape)


def real_of(integers: Numbers, quantiser: Quantiser) -> Reals:
    """What integers stand for."""
    values: Reals = (integers.astype(np.float64) - zero_of(quantiser, integers.ndim)) * step_of(
        quantiser, integers.ndim
    )
    return values


def integers_of(values: Numbers, quantiser: Quantiser, kind: Any) -> Numbers:
    """As QuantizeLinear makes them, and a Clip behind it."""
    steps = np.rint(values.astype(np.float32) / step_of(quantiser, values.ndim)) + zero_of(quantiser, values.ndim)
    return np.clip(np.nan_to_num(steps, nan=quantiser.low), quantiser.low, quantiser.high).astype(kind)


def comparable(section: Section, values: Numbers) -> Reals | None:
    """What a section's result stands for; None of integers whose scale is no constant, and of what is no number."""
    if section.integer:
        return None if section.quantiser is None else real_of(values, section.quantiser)
    return values.astype(np.float64) if values.dtype.kind == "f" else None
