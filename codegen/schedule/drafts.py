"""Pass `emit`: the stages become drafts of instructions, in program order, and notes of what has to be loaded."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.emit.draft import Area, Draft, FinishedRows, Loaded, Part, Place, Schedule, Strides, copy_pixels
from tvm_re2na.codegen.emit.views import View, dense_view
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.graph.ops import Shape4
from tvm_re2na.codegen.schedule.residency import Residence
from tvm_re2na.codegen.schedule.strips import Strip, cut_strips
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Sampling, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Block
from tvm_re2na.codegen.schedule.unit.pool import move_rows
from tvm_re2na.codegen.schedule.weights import UnitWeights


def emit(residence: Residence, weights: UnitWeights, arch: Architecture) -> Schedule:
    """The drafts of all stages of a plan, and the final HALT."""
    writer = Writer(arch)
    for index in range(len(residence.plan)):
        writer.stage = index
        _StageWriter(writer, index, residence, weights).run()
    writer.append(Draft("HALT", 0, {}))
    return writer.schedule


@dataclass(frozen=True)
class _Target:
    """Where results go: `view` is where channel 0 of strip row 0 would lie; in DRAM afterwards if `stores`."""

    view: View
    first: int  # channels that are written
    channels: int


class _Box(NamedTuple):
    """Of a tensor that is loaded: rows, columns and channels, each the first and the one behind the last."""

    rows: Rows
    columns: Columns
    channels: tuple[int, int]
    sampling: Sampling | None = None

    @property
    def row_bytes(self) -> int:
        return (self.columns[1] - self.columns[0]) * (self.channels[1] - self.channels[0])

    @property
    def is_empty(self) -> bool:
        return self.rows[0] >= self.rows[1] or not self.row_bytes

    def part(self, name: str, shape: Shape4, start: int, stop: int, first: int) -> Part:
        """Rows start..stop of a buffer of such rows, from row `first` on of all rows of a tensor of `shape`."""
        if self.sampling is not None:
            return self._sampled(name, shape, start, stop, first, self.sampling)
        _, all_channels, _, width = shape
        (left, right), (low, high) = self.columns, self.channels
        row, all_row = self.row_bytes, width * all_channels
        dram = ("tensor", name), first * all_row + left * all_channels + low
        part = Part(start * row, stop * row, *dram)
        if high - low == all_channels:
            return replace(part, run=row, stride=all_row) if right - left < width else part
        part = replace(part, run=high - low, stride=all_channels)
        return replace(part, row=row, row_stride=all_row) if right - left < width else part

    def _sampled(self, name: str, shape: Shape4, start: int, stop: int, first: int, sampling: Sampling) -> Part:
        """Of one image; `shape` has the pixels that are read alone."""
        _, all_channels, height, _ = shape
        (low, high), row, all_row = self.channels, self.row_bytes, sampling.width * all_channels
        image, y = divmod(first, height)
        offset = (image * sampling.height + y * sampling.rows) * all_row + low
        steps = {"run": high - low, "stride": sampling.columns * all_channels}
        steps |= {"row": row, "row_stride": sampling.rows * all_row}
        return Part(start * row, stop * row, ("tensor", name), offset, **steps)


class _Berth(NamedTuple):
    """A place for what is loaded."""

    area: Hashable
    offset: int


class _StageWriter:
    def __init__(self, writer: Writer, index: int, residence: Residence, weights: UnitWeights) -> None:
        self.writer = writer
        self.index = index
        self.stage = residence.plan[index].stage
        self.sides = self.stage.sides
        self.keys = residence.keys[index]
        self.sent = residence.stored
        self.records = residence.records
        self.weights = weights
        self.cascade = self.stage.cascade
        self.stored = residence.tensors.graph.stored
        self.areas = writer.schedule.areas
        self.berths = self._berths()
        self.again = self.stage.strips_outer and not self.stage.pinned  # weights for each strip
        self.waiting: list[Draft] = []  # stores that let the next strip's work begin first

    def run(self) -> None:
        unit = self.cascade.units[0]
        if unit.part_steps(self.writer.arch):
            self._in_parts(unit)
        elif unit.scratch_bytes:
            self._through_dram(unit)
        elif self.stage.strips_outer and (self.stage.pinned or not self.stage.blocks.parts):
            self._strips_outer()
        else:
            self._in_slices(unit)
        self._flush()

    # -- loop orders

    def _in_parts(self, unit: Unit) -> None:
        """Part after part of the sums, as the weights come."""
        target = self._target(0, (), 0)
        parts = self.weights.records(self.stage.first, self.stage.weights[0], self.stage.chunk)
        self._compute(unit, 0, 0, parts, target.view, 0)
        self._send(0, target)

    def _in_slices(self, unit: Unit) -> None:
        """Each strip for each slice of the blocks, in the order of the stage's loops."""
        parts = self.stage.blocks.parts or [()]
        places = list(itertools.product(range(len(parts)), range(len(self.cascade.work))))
        for turn, strip in sorted(places, key=lambda place: place[::-1]) if self.stage.strips_outer else places:
            if turn == 0 or self.stage.rounds > 1:
                self._move(strip, turn)
            target = self._target(strip, parts[turn], turn)
            self._compute(unit, 0, strip, parts[turn], target.view, turn)
            if not parts[turn] or parts[turn][-1].ends:
                self._send(strip, target)

    def _strips_outer(self) -> None:
        for strip, work in enumerate(self.cascade.work):
            self._move(strip, 0)
            for position, unit in enumerate(self.cascade.units):
                if work.computed[position][0] == work.computed[position][1]:
                    continue
                blocks = self.stage.weights[position].blocks
                if position + 1 < len(self.cascade.units):
                    inner = self._inner_view(unit.output, strip, position).at(unit.out_first, column=unit.out_column)
                    self._compute(unit, position, strip, blocks, inner, 0)
                else:
                    target = self._target(strip, (), 0)
                    self._compute(unit, position, strip, blocks, target.view, 0)
                    self._send(strip, target)

    def _compute(self, unit: Unit, position: int, strip: int, blocks: Sequence[Block], target: View, turn: int) -> None:
        """The rows of one strip, for some blocks of weights; `target` is where channel 0 of the first row lies."""
        work, index, chosen = self.cascade.work[strip], self.stage.first + position, self.stage.weights[position]
        rows = work.computed[position]
        sources = [
            self._input(name, unit.stored_shape(operand), strip, unit.needed_rows(operand, rows), turn).at(
                unit.part(operand).first, column=unit.columns(operand).first
            )
            for operand, name in enumerate(unit.inputs)
        ]
        ends = not blocks or blocks[-1].ends

        def record(block: Block) -> Hashable:
            key = ("weights", index, block.out_c0, block.in_c0, strip if self.again else 0)
            self._load_block(key, unit.source, index, block, self._berth(index, block, strip))
            return key

        strip_work = Work(work.strip.n0, work.strip.images, rows, tuple(sources), target, blocks, chosen.rows, record)
        unit.draft(replace(strip_work, sums=("sums", self.index)), self.writer)
        if ends:
            self.writer.finish(_finished(unit, strip_work))

    # -- where things lie

    def _input(self, name: str, shape: Shape4, strip: int, rows: Rows, turn: int) -> View:
        """Channel 0 of column 0 of the given rows of a tensor seen as `shape`, for the images of a strip; noted to be loaded if
        they come from DRAM, without channels and columns that the stage does not read."""
        _, channels, height, width = shape
        images = self.cascade.work[strip].strip
        if name in self.cascade.inner:
            return self._inner_view(name, strip, None, rows[0])
        if name in self.sides.resident:
            self._fetch(name)
            view = dense_view(self.keys[name], height, width, channels)
            return View(view.key, (images.n0 * height + rows[0]) * view.row, view.pixel, view.row, view.image)
        first, last = self.cascade.work[strip].windows.get(name, rows)
        fresh = last - self.stage.loaded_rows(strip, name) // images.images if self.stage.keeps else first
        view = self._streamed_view(name, strip, turn)
        read, sampling = self.stage.read_channels(name, turn), self.cascade.samplings.get(name)
        box = _Box((first, last), self.cascade.columns[name], read, sampling)
        if not box.is_empty:
            rounds = self.stage.rounds
            number = self.stage.turn(strip, turn if rounds > 1 else 0, rounds)
            self._load_rows(view.key, name, shape, images, box, fresh, self.cascade.heights[name], number)
        return view.at(-box.channels[0], rows[0] - first, -box.columns[0])

    def _streamed_view(self, name: str, strip: int, turn: int) -> View:
        """The channels and columns that are read of a strip's rows of a tensor in DRAM."""
        first, last = self.cascade.work[strip].windows.get(name, (0, 0))
        key = ("in", self.index, name, strip, turn if self.stage.rounds > 1 else 0)
        start, stop = self.stage.read_channels(name, turn)
        return dense_view(key, last - first, self.cascade.read_shape(name)[3], stop - start)

    def _inner_view(self, name: str, strip: int, position: int | None, row: int | None = None) -> View:
        """Rows of a tensor between the units, from `row` on, or from the first that the unit at `position` computes."""
        _, channels, height, width = self.stored[name].shape
        first, last = self.cascade.work[strip].windows[name]
        start = self.cascade.work[strip].computed[position][0] if position is not None else row or 0
        key = ("inner", self.index, name)
        if self.cascade.holds_whole(name):
            return dense_view(key, height, width, channels).at(row=start)
        return dense_view(key, last - first, width, channels).at(row=start - first)

    def _move(self, strip: int, turn: int) -> None:
        """Rows that are needed again go to the front of their buffer, or of the next one."""
        for name, (first, last) in self.stage.moved_rows(strip).items():
            inner = self.cascade.inner.get(name)
            if inner is not None:
                start, target = (self._inner_view(name, at, None, first) for at in (strip - 1, strip))
            else:
                before = self.cascade.work[strip - 1].windows[name][0]
                start = self._streamed_view(name, strip - 1, turn).at(row=first - before)
                target = self._streamed_view(name, strip, turn)
            source = (inner or self.cascade.units[0]).source
            move_rows(self.writer, source, start, target, last - first, self.cascade.moved_shape(name)[3])

    def _target(self, strip: int, blocks: Sequence[Block], turn: int) -> _Target:
        """Where the strip's output rows go: their place in SRAM, or a buffer on the way to DRAM."""
        _, total, height, width = self._made_shape
        unit, where = self.cascade.units[-1], self.cascade.work[strip].strip
        first, count = (blocks[0].out_c0, sum(block.out_c for block in blocks)) if blocks else (0, unit.out_shape[1])
        if self.stage.output in self.sides.resident:
            view = dense_view(self.keys[self.stage.output], height, width, total)
            offset = where.n0 * view.image + where.y0 * view.row + unit.out_column * view.pixel + unit.out_first
            return _Target(View(view.key, offset, view.pixel, view.row, view.image), first, count)
        number = self.stage.turn(strip, self.stage.results[turn], self.stage.results[-1])
        key = ("out", self.index, number % self.stage.row_turns)
        return _Target(dense_view(key, where.y1 - where.y0, unit.out_shape[3], count).at(-first), first, count)

    @property
    def _made_shape(self) -> Shape4:
        """Of the output, all of it in as many rows as the unit makes."""
        batch, channels, height, width = self.stored[self.stage.output].shape
        rows = self.cascade.units[-1].out_shape[2]
        return batch, channels, rows, height * width // rows

    def _send(self, strip: int, target: _Target) -> None:
        """Store what a strip computed, if the tensor is wanted in DRAM."""
        output = self.stage.output
        if output not in self.sent:
            return
        _, total, height, width = self._made_shape
        where, view, unit = self.cascade.work[strip].strip, target.view.at(target.first), self.cascade.units[-1]
        start = ((where.n0 * height + where.y0) * width + unit.out_column) * total + unit.out_first + target.first
        dram = Place("dram", ("tensor", output), start)
        rows, columns = where.images * (where.y1 - where.y0), unit.out_shape[3]
        strides = Strides(total, width * total), Strides(view.pixel, view.row)
        draft = copy_pixels("STORE", unit.source, dram, view.place, (rows, columns, target.channels), *strides)
        if self.stage.row_turns == 1 or output in self.sides.resident:
            self.writer.append(draft)
            return
        self._flush()
        self.waiting.append(draft)

    def _flush(self) -> None:
        for draft in self.waiting:
            self.writer.append(draft)
        self.waiting.clear()

    # -- what is loaded

    def _load_block(self, key: Hashable, source: int, index: int, block: Block, berth: _Berth) -> None:
        dram = ("record", self.records[index], block.out_c0, block.in_c0)
        parts = [
            Part(chunk.start, chunk.stop, dram, chunk.offset, coded=len(chunk.coded)) for chunk in block.chunks
        ] or [Part(0, block.bytes, dram, 0)]
        self._note(Loaded(key, source, block.bytes, tuple(parts), *berth, roams=True))

    def _berths(self) -> dict[Hashable, tuple[int, int]]:
        """Of each block of weights: with how many others before it the stage's areas have been filled, and its offset in the area.
        Blocks that stay have an area each."""
        stage = self.stage
        records = [
            (stage.first + position, block)
            for position, weights in enumerate(stage.weights)
            for block in self.weights.records(stage.first + position, weights, stage.chunk)
        ]
        at_once = 1 if stage.pinned or not stage.weights[0].blocks else stage.slices
        found: dict[Hashable, tuple[int, int]] = {}
        offset = 0
        for place, (index, block) in enumerate(records):
            offset = offset if place % at_once else 0
            found[(index, block.out_c0, block.in_c0)] = place // at_once, offset
            offset += aligned(block.bytes)
            area = self._weights_area(place // at_once)
            size = max(offset, self.areas[area].size if area in self.areas else 0)
            self.areas[area] = Area(size, self.index)
        return found

    def _weights_area(self, number: int) -> Hashable:
        """Of what is loaded after so much else."""
        return ("weights", self.index, number if self.stage.pinned else number % self.stage.weight_turns)

    def _berth(self, index: int, block: Block, strip: int) -> _Berth:
        number, offset = self.berths[(index, block.out_c0, block.in_c0)]
        again = strip * len(self.berths) if self.again else 0
        return _Berth(self._weights_area(number + again), offset)

    def _fetch(self, name: str) -> None:
        """A tensor that the stage finds in DRAM and reads from SRAM."""
        if name in self.sides.fetched:
            part = Part(0, self.stored[name].bytes, ("tensor", name), 0)
            self._note(Loaded(self.keys[name], self.cascade.units[0].source, self.stored[name].bytes, (part,)))

    def _load_rows(
        self,
        key: Hashable,
        name: str,
        shape: Shape4,
        images: Strip,
        box: _Box,
        fresh: int,
        height: int,
        number: int,
    ) -> None:
        """Of the box's rows, those from `fresh` on, others are there."""
        (top, bottom), total = box.rows, shape[2]
        count, row = bottom - top, box.row_bytes
        whole = count == total and box.sampling is None  # images follow each other without a gap
        sizes = [images.images * count] if whole else [count] * images.images
        parts = (
            box.part(name, shape, n * count + fresh - top, n * count + size, (images.n0 + n) * total + fresh)
            for n, size in enumerate(sizes)
        )
        loaded = tuple(part for part in parts if part.start < part.stop)
        area = ("in", self.index, name, number % self.stage.row_turns)
        self.areas[area] = Area(max(height * row, self.areas[area].size if area in self.areas else 0), self.index)
        self._note(Loaded(key, self.cascade.units[0].source, height * row, loaded, area))

    def _note(self, loaded: Loaded) -> None:
        self.writer.schedule.loaded.setdefault(loaded.key, loaded)

    # -- another byte order

    def _through_dram(self, unit: Unit) -> None:
        """Bytes go out to DRAM and come back in another order."""
        for number, strip in enumerate(cut_strips(unit.in_shape, self.stage.chunk)):
            unit.draft(self._transfer(strip, self._sent_input(unit, number, strip)), self.writer)
        for number, strip in enumerate(self.stage.strips):
            target = self._target(number, (), 0)
            unit.fetch(self._transfer(strip, target.view), self.writer)
            self._send(number, target)

    def _transfer(self, strip: Strip, view: View) -> Work:
        return Work(strip.n0, strip.images, strip.rows, (view,), view)

    def _sent_input(self, unit: Unit, number: int, strip: Strip) -> View:
        _, channels, _, width = unit.in_shape
        name = unit.inputs[0]
        if name in self.sides.resident:
            return self._resident_rows(name, unit.in_shape, strip)
        key = ("in", self.index, name, number, 0)
        tallest = max(part.images * (part.y1 - part.y0) for part in cut_strips(unit.in_shape, self.stage.chunk))
        box = _Box(strip.rows, (0, width), (0, channels))
        self._load_rows(key, name, unit.in_shape, strip, box, strip.y0, tallest, number)
        return dense_view(key, strip.y1 - strip.y0, width, channels)

    def _resident_rows(self, name: str, shape: Shape4, strip: Strip) -> View:
        _, channels, height, width = shape
        self._fetch(name)
        offset = (strip.n0 * height + strip.y0) * width * channels
        return dense_view(self.keys[name], height, width, channels, offset)


def _finished(unit: Unit, work: Work) -> FinishedRows:
    """What the unit has made once its drafts are there: all channels, or those of the blocks."""
    ends = [(block.out_c0, block.out_c0 + block.out_c) for block in work.blocks] or [(0, unit.out_shape[1])]
    first, last = min(start for start, _ in ends), max(stop for _, stop in ends)
    view = work.target.at(first)
    channels = unit.out_first + first, unit.out_first + last
    columns = unit.out_column, unit.out_column + unit.out_shape[3]
    strides = view.pixel, view.row, view.image
    return FinishedRows(unit.output, work.first_image, work.images, work.rows, columns, channels, view.place, *strides)
