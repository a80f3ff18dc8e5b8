"""Strips: which rows of every tensor a run of units touches when its last output is made a few rows at a time.

A strip is a run of whole images, or of rows of one image. Units that work strip by strip (a cascade) keep of the tensors between
them only the rows that are still needed: each row is computed once, and no tensor ever exists as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.graph.ops import Shape4
from tvm_re2na.codegen.schedule.unit.base import Rows, Sampling, Unit, row_bytes


def inner_bytes(shape: Shape4, height: int) -> int:
    """A buffer for the rows of an inner tensor that are held at once, or for a whole image where that is not much more."""
    row = row_bytes(shape)
    image = shape[2] * row
    return aligned(image if height * row < image <= 2 * height * row else height * row)


@dataclass(frozen=True)
class Strip:
    """Output rows y0..y1 of the images n0..n1; more than one image only with all rows."""

    n0: int
    n1: int
    y0: int
    y1: int

    @property
    def images(self) -> int:
        return self.n1 - self.n0

    @property
    def rows(self) -> Rows:
        return self.y0, self.y1


def cut_strips(shape: Shape4, rows: int) -> tuple[Strip, ...]:
    """Strips of at most `rows` rows; as many whole images as `rows` holds, or rows of single images."""
    batch, _, height, _ = shape
    if rows >= height:
        images = rows // height
        return tuple(Strip(n, min(n + images, batch), 0, height) for n in range(0, batch, images))
    return tuple(Strip(n, n + 1, y, min(y + rows, height)) for n in range(batch) for y in range(0, height, rows))


def strip_heights(shape: Shape4) -> list[int]:
    """The distinct heights that cut a tensor into strips of about equal size, from all images down to one row."""
    batch, _, height, _ = shape
    images = {-(-batch // parts) for parts in range(1, batch + 1)}
    rows = {-(-height // parts) for parts in range(1, height + 1)}
    return [count * height for count in sorted(images, reverse=True)] + sorted(rows - {height}, reverse=True)


@dataclass(frozen=True)
class StripWork:
    """What one strip means: rows that each unit computes, and rows of each input and inner tensor that are read."""

    strip: Strip
    computed: tuple[Rows, ...]
    windows: dict[str, Rows]


@dataclass(frozen=True, eq=False)
class Cascade:
    """Units that work strip by strip. `work` has an entry per strip."""

    units: tuple[Unit, ...]
    work: tuple[StripWork, ...]

    @cached_property
    def inner(self) -> dict[str, Unit]:
        """The tensors between the units, by name, with the last unit that makes channels of them."""
        return {unit.output: unit for unit in self.units[:-1]}

    @cached_property
    def shapes(self) -> dict[str, Shape4]:
        """How the units see what they read, all channels and columns of it."""
        return {name: unit.stored_shape(operand) for unit in self.units for operand, name in enumerate(unit.inputs)}

    @cached_property
    def samplings(self) -> dict[str, Sampling]:
        """Of what is loaded without the pixels that nobody reads; `shapes` has the others alone."""
        return {unit.inputs[0]: unit.sampling for unit in self.units if unit.sampling}

    @cached_property
    def channels(self) -> dict[str, tuple[int, int]]:
        """Of what they read, the first channel that is read, and the one behind the last."""
        return self._read(lambda unit, operand: (unit.part(operand).first, unit.operand_shape(operand)[1]))

    @cached_property
    def columns(self) -> dict[str, tuple[int, int]]:
        """The same of columns."""
        return self._read(lambda unit, operand: (unit.columns(operand).first, unit.operand_shape(operand)[3]))

    def _read(self, part: Callable[[Unit, int], tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """What holds all parts of each tensor, given the first and the count of what a unit reads of an operand."""
        found: dict[str, tuple[int, int]] = {}
        for unit in self.units:
            for operand, name in enumerate(unit.inputs):
                first, count = part(unit, operand)
                low, high = found.get(name, (first, first + count))
                found[name] = min(low, first), max(high, first + count)
        return found

    def read_shape(self, name: str) -> Shape4:
        """`shapes` with the channels and columns that are read."""
        batch, _, height, _ = self.shapes[name]
        (first, last), (left, right) = self.channels[name], self.columns[name]
        return batch, last - first, height, right - left

    @cached_property
    def is_even(self) -> bool:
        """Whether units that make channels of one tensor make the same rows of it in every strip."""
        made: dict[str, set[tuple[Rows, ...]]] = {}
        for position, unit in enumerate(self.units[:-1]):
            made.setdefault(unit.output, set()).add(tuple(work.computed[position] for work in self.work))
        return all(len(rows) == 1 for rows in made.values())

    @cached_property
    def heights(self) -> dict[str, int]:
        """The most rows of each tensor that are held at once (times images)."""
        most: dict[str, int] = {}
        for work in self.work:
            for name, (first, last) in work.windows.items():
                most[name] = max(most.get(name, 0), (last - first) * work.strip.images)
        return most

    def moved_shape(self, name: str) -> Shape4:
        """Of a tensor as a strip's buffer holds it: all of an inner one, of others the channels and columns that are read."""
        return self.shapes[name] if name in self.inner else self.read_shape(name)

    def copies(self, index: int, tensor: str) -> Rows:
        """Rows of a tensor that strip `index` needs of those that the strip before has had."""
        first, stop = self.work[index].windows.get(tensor, (0, 0))
        if index == 0 or self.work[index].strip.n0 != self.work[index - 1].strip.n0:
            return first, first
        _, had = self.work[index - 1].windows.get(tensor, (first, first))
        return first, max(first, min(had, stop))

    def overlaps(self, name: str) -> bool:
        """Whether two strips share rows of a tensor."""
        copies = (self.copies(index, name) for index in range(1, len(self.work)))
        return any(first < last for first, last in copies)

    def holds_whole(self, name: str) -> bool:
        """Whether the buffer of an inner tensor holds whole images, so that no row ever moves."""
        height, (_, _, rows, _) = self.heights[name], self.shapes[name]
        return height <= rows and inner_bytes(self.shapes[name], height) >= rows * row_bytes(self.shapes[name])

    @cached_property
    def moves(self) -> list[dict[str, Rows]]:
        """For each strip, of `copies`, what moves to the front of its buffer before the strip is computed."""
        names = [name for name in self.inner if not self.holds_whole(name)]
        found: list[dict[str, Rows]] = []
        for index in range(len(self.work)):
            rows = {name: self.copies(index, name) for name in names}
            found.append(
                {
                    name: (first, last)
                    for name, (first, last) in rows.items()
                    if first < last and first != self.work[index - 1].windows[name][0]
                }
            )
        return found


def unroll(units: Sequence[Unit], strips: Sequence[Strip]) -> Cascade:
    """Walk from the last unit back to the first, strip by strip: nobody computes what nobody needs, or what is there already."""
    inner = {unit.output for unit in units[:-1]}
    done: dict[str, int] = {}  # rows of the current image that are there
    work = []
    for index, strip in enumerate(strips):
        if index == 0 or strip.n0 != strips[index - 1].n0:
            done = {}
        work.append(_strip_work(units, inner, strip, done))
    return Cascade(tuple(units), tuple(work))


def _strip_work(units: Sequence[Unit], inner: set[str], strip: Strip, done: dict[str, int]) -> StripWork:
    windows: dict[str, Rows] = {}
    floors: dict[str, int] = {}  # rows below are never needed again
    computed: list[Rows] = []
    made: dict[str, tuple[Rows, Rows]] = {}  # rows of inner tensors, and the window that they gave
    for unit in reversed(units):
        rows, name = strip.rows, unit.output
        if name in made and made[name][1] == windows[name]:
            rows, _ = made[name]  # for other channels
        elif name in inner:
            rows = _missing_rows(windows.get(name), done.get(name))
            first = min(windows.get(name, rows)[0], floors.get(name, unit.out_shape[2]), rows[1])
            windows[name] = (first, rows[1])
            made[name] = rows, windows[name]
        computed.append(rows)
        for operand, name in enumerate(unit.inputs):
            if rows[0] < rows[1]:
                _widen(windows, name, unit.needed_rows(operand, rows))
            elif rows[1] < unit.out_shape[2]:
                floor = unit.needed_rows(operand, (rows[1], rows[1] + 1))[0]
                floors[name] = min(floors.get(name, floor), floor)
    done |= {name: rows[1] for name, (rows, _) in made.items()}
    return StripWork(strip, tuple(reversed(computed)), windows)


def _missing_rows(needed: Rows | None, done: int | None) -> Rows:
    """What has to be computed of a tensor of which the rows below `done` are there."""
    have = done or 0
    if needed is None or needed[1] <= have:
        return have, have
    return (needed[0] if done is None else max(have, needed[0])), needed[1]


def _widen(windows: dict[str, Rows], name: str, rows: Rows) -> None:
    """Add rows to what is read of a tensor."""
    if rows[0] < rows[1]:
        first, last = windows.get(name, rows)
        windows[name] = (min(first, rows[0]), max(last, rows[1]))
