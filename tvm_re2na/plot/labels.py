"""Where numbers go beside their marks: no number on another, nor on any mark; a thin line leads to those that have to go away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm_re2na.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 8.0  # points
WIDE, HIGH = 0.64 * FONT, 1.05 * FONT  # of a digit
NEAR = 6.5  # points between a mark's edge and the middle of a number beside it
RINGS = tuple(5.0 * ring for ring in range(36))  # further and further away
ANGLES = tuple(
    math.radians(225 + side * degrees) for degrees in range(0, 181, 15) for side in (1, -1)
)  # left and below first


@dataclass(frozen=True)
class Mark:
    """A mark's place in points from the figure's corner, and its radius."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Box:
    """Room that is taken, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def covers(self, mark: Mark) -> bool:
        """Whether any part of the mark is within."""
        x, y = min(max(mark.x, self.left), self.right), min(max(mark.y, self.bottom), self.top)
        return math.dist((x, y), (mark.x, mark.y)) < mark.radius

    def within(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.bottom <= self.bottom
            and self.top <= other.top
        )


def placed(words: Sequence[str], at: Sequence[Mark], marks: Sequence[Mark], frame: Box) -> list[tuple[float, float]]:
    """For each word the offset of its middle from the mark that it belongs to: the nearest free place within the frame."""
    taken: list[Box] = []
    offsets = []
    for word, mark in zip(words, at, strict=True):
        places = [(_box(word, mark, offset), offset) for offset in _around(mark.radius + NEAR)]
        free = (
            (box, offset)
            for box, offset in places
            if box.within(frame)
            and not any(box.meets(other) for other in taken)
            and not any(box.covers(other) for other in marks)
        )
        box, offset = next(free, places[-1])
        taken.append(box)
        offsets.append(offset)
    return offsets


def _around(nearest: float) -> Iterator[tuple[float, float]]:
    away = (nearest + ring for ring in RINGS)
    return ((ring * math.cos(angle), ring * math.sin(angle)) for ring in away for angle in ANGLES)


def _box(word: str, mark: Mark, offset: tuple[float, float]) -> Box:
    x, y = mark.x + offset[0], mark.y + offset[1]
    across, up = WIDE * len(word) / 2, HIGH / 2
    return Box(x - across, y - up, x + across, y + up)


def along(points: Sequence[tuple[float, float]], step: float = 3.0) -> list[Mark]:
    """A line through these points, in points, as marks that keep words off it."""
    found = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        count = max(1, math.ceil(math.dist((x0, y0), (x1, y1)) / step))
        found += [Mark(x0 + (x1 - x0) * at / count, y0 + (y1 - y0) * at / count, 1.0) for at in range(count + 1)]
    return found


def write_beside(
    axes: Axes, words: Sequence[str], places: Sequence[tuple[float, float]], at: Sequence[Mark], marks: Sequence[Mark]
) -> None:
    """Words for the marks `at`, which lie at `places` in the axes' units, clear of all `marks`; the figure has been laid out."""
    scale, extent = 72.0 / axes.figure.dpi, axes.get_window_extent()
    frame = Box(*(scale * value for value in (extent.x0, extent.y0, extent.x1, extent.y1)))
    for word, place, mark, offset in zip(words, places, at, placed(words, at, marks, frame), strict=True):
        far = math.hypot(*offset) > mark.radius + 2 * NEAR
        line = {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": mark.radius}
        axes.annotate(
            word,
            place,
            offset,
            textcoords="offset points",
            fontsize=FONT,
            ha="center",
            va="center",
            arrowprops=line if far else None,
        )
