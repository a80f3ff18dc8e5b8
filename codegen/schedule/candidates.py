"""Candidates: the stages that some units could form, each with its SRAM."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import SUM_BYTES, aligned
from tvm_re2na.codegen.schedule.cost import CostModel, tiles_of
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.stage import Sides, Stage
from tvm_re2na.codegen.schedule.strips import Cascade, cut_strips, inner_bytes, strip_heights, unroll
from tvm_re2na.codegen.schedule.unit.base import Unit, row_bytes
from tvm_re2na.codegen.schedule.unit.blocks import Weights


class Candidates:
    """Lists the stages of some units, for what lies beside them; all of them without their price."""

    def __init__(self, tensors: Tensors, cost: CostModel, arch: Architecture) -> None:
        self.tensors = tensors
        self.units = tensors.graph.units
        self.cost = cost
        self.arch = arch
        self._unrolled: dict[tuple[int, int, int, frozenset[str]], Cascade] = {}
        self._ways: dict[tuple[Sides, int, int, int], dict[Hashable, Stage]] = {}
        self._sizes: dict[Stage, Stage] = {}

    def whole(self, sides: Sides, index: int) -> list[Stage]:
        """One unit, all of its output at once (a dense layer's weights in parts that are worth a transfer)."""
        unit = self.units[index]
        if steps := unit.part_steps(self.arch):
            return list(self._in_parts(sides, index, steps))
        return [self._sized(stage) for _, stage in self._weights_outer(sides, index, strip_heights(unit.out_shape)[0])]

    def in_smaller_parts(self, sides: Sides, index: int) -> list[Stage]:
        """A dense layer whose weights come in parts that are hardly worth a transfer."""
        steps = self.units[index].part_steps(self.arch)
        return list(self._in_parts(sides, index, [steps[-1] >> power for power in range(1, steps[-1].bit_length())]))

    def heights(self, first: int, last: int) -> list[int]:
        """Of the strips in which the units may work, the tallest first; none where their weights alone do not fit."""
        if self.units[first].part_steps(self.arch):
            return []
        if first == last:
            return strip_heights(self.units[last].out_shape)[1:]
        rows = self.arch.array_rows
        weights = sum(self.cost.weights.shaped(index, rows).bytes for index in range(first, last + 1))
        return [] if weights > self.arch.sram_bytes else strip_heights(self.units[last].out_shape)

    def ways(self, sides: Sides, first: int, last: int, height: int) -> dict[Hashable, Stage]:
        """Several units strip by strip, with their weights pinned; or one, in whatever order of its loops. By the way in which they
        work, which is the same for all heights: shorter strips need less memory, and cost more. Without their bytes."""
        key = (sides, first, last, height)
        if key not in self._ways:
            self._ways[key] = dict(self._strips_outer(sides, first, last, height))
            if first == last:
                self._ways[key] |= dict(self._weights_outer(sides, first, height))
        return self._ways[key]

    def in_strips(self, sides: Sides, first: int, last: int, height: int, way: Hashable) -> Stage | None:
        """In one of these ways; None where strips of that height have it not."""
        stage = self.ways(sides, first, last, height).get(way)
        if stage is not None and stage not in self._sizes:
            self._sizes[stage] = self._sized(stage)
        return self._sizes[stage] if stage else None

    def _weights_outer(self, sides: Sides, index: int, height: int) -> Iterator[tuple[Hashable, Stage]]:
        cascade = self._unroll(sides, index, index, height)
        whole = len(cascade.work) == 1
        for weights in self._weights(index, cascade, whole):
            stage = Stage(index, index, cascade, (weights,), sides, chunk=_rows_at_once(cascade))
            count = max(1, len(weights.blocks))
            parts = {count} if whole else {1, 2, 4, count}
            for size in sorted({-(-count // part) for part in parts}):
                yield from _with_buffers((weights.rows, weights.depth, size), replace(stage, slices=size))

    def _weights(self, index: int, cascade: Cascade, parts: bool) -> list[Weights]:
        """Of a unit alone: for the shapes worth trying, and with sums in parts."""
        shapes = self.cost.shapes(index, tiles_of(cascade, 0))
        return [*shapes, *(part for weights in shapes for part in self.cost.weights.in_parts(index, weights) if parts)]

    def _strips_outer(self, sides: Sides, first: int, last: int, height: int) -> Iterator[tuple[Hashable, Stage]]:
        if not all(unit.joins_cascades for unit in self.units[first : last + 1]):
            return
        cascade = self._unroll(sides, first, last, height)
        if not cascade.is_even:
            return
        for weights in self._shapes_together(first, cascade):
            stage = Stage(first, last, cascade, weights, sides, strips_outer=True)
            rows = tuple((part.rows, part.depth) for part in weights)
            streams = not stage.touched <= sides.resident
            weighs = any(part.blocks for part in weights)
            if first < last or not (streams or weighs):
                yield (rows, weighs), replace(stage, pinned=weighs)
                continue
            for pinned in (True, False) if weighs else (False,):
                if not (pinned and weights[0].depth):
                    yield from _with_buffers((rows, pinned), replace(stage, pinned=pinned))

    def _unroll(self, sides: Sides, first: int, last: int, height: int) -> Cascade:
        units = self.units[first : last + 1]
        sampled = self._sampled(sides, units)
        key = (first, last, height, frozenset(sampled))
        if key not in self._unrolled:
            as_loaded = [sampled.get(unit.inputs[0], unit) for unit in units]
            self._unrolled[key] = unroll(as_loaded, cut_strips(units[-1].out_shape, height))
        return self._unrolled[key]

    def _sampled(self, sides: Sides, units: Sequence[Unit]) -> dict[str, Unit]:
        """By their input, those units that alone read a tensor in DRAM, and not all of its pixels."""
        readers = Counter(name for unit in units for name in unit.inputs)
        here = sides.resident | {unit.output for unit in units[:-1]}
        found = ((unit.inputs[0], unit.sampled) for unit in units)
        return {name: unit for name, unit in found if unit and readers[name] == 1 and name not in here}

    def _shapes_together(self, first: int, cascade: Cascade) -> list[tuple[Weights, ...]]:
        """The units' shapes worth trying: for a unit alone each of its own; for several the fastest of each, and one for all,
        because the array switches between them in every strip."""
        choices = [
            self.cost.shapes(first + position, tiles_of(cascade, position)) for position in range(len(cascade.units))
        ]
        if len(choices) == 1:
            return [(weights,) for weights in self._weights(first, cascade, True)]
        found = [tuple(shapes[0] for shapes in choices)]
        known = [self.cost.weights.of_all_shapes(first + position) for position in range(len(choices))]
        for rows, _ in self.arch.shapes:
            found.append(
                tuple(
                    next((weights for weights in of_unit if weights.rows == rows), shapes[0])
                    for of_unit, shapes in zip(known, choices, strict=True)
                )
            )
        return list(dict.fromkeys(found))

    def _in_parts(self, sides: Sides, index: int, steps: Iterable[int]) -> Iterator[Stage]:
        unit = self.units[index]
        cascade = unroll((unit,), cut_strips(unit.out_shape, unit.out_shape[0]))
        border = sum(
            aligned(self.tensors.graph.stored[name].bytes)
            for name in (*unit.inputs, unit.output)
            if name not in sides.resident
        )
        for chunk in steps:
            part, count = aligned(unit.part_bytes(chunk, self.arch)), unit.parts_of_sums(chunk, self.arch)
            for buffers in sorted({1, min(2, count)}, reverse=True):
                weights, overlap = (self.cost.weights.none,), buffers == min(2, count)
                size = border + buffers * part
                yield Stage(index, index, cascade, weights, sides, chunk=chunk, overlap=overlap, bytes=size)

    # -- what they take

    def _sized(self, stage: Stage) -> Stage:
        shared = self._shared(stage) if stage.strips_outer else 0
        return replace(stage, bytes=self._bytes(stage) - shared, shared=shared)

    def _bytes(self, stage: Stage) -> int:
        """SRAM beside the tensors that live on."""
        total = self._weight_bytes(stage) + self._sum_bytes(stage)
        for name, height in stage.cascade.heights.items():
            if name in stage.cascade.inner:
                total += inner_bytes(stage.cascade.shapes[name], height)
            elif name not in stage.sides.resident:
                row = stage.cascade.read_shape(name)[3] * max(stage.read_widths(name))
                buffers = min(stage.row_turns, len(stage.strips) * stage.rounds)
                total += buffers * aligned((stage.chunk or height) * row)
        if stage.output not in stage.sides.resident:
            sends = len(stage.strips) * stage.results[-1]
            total += min(stage.row_turns, sends) * aligned(self._out_bytes(stage))
        return total

    def _sum_bytes(self, stage: Stage) -> int:
        """Of sums that wait for their next part."""
        weights, unit = stage.weights[0], stage.cascade.units[0]
        if not weights.depth:
            return 0
        tallest = max(strip.images * (strip.y1 - strip.y0) for strip in stage.strips)
        channels = max(block.out_c for block in weights.blocks)
        return aligned(tallest * unit.out_shape[3] * unit.pooled * channels * SUM_BYTES)

    def _weight_bytes(self, stage: Stage) -> int:
        if stage.pinned:
            return sum(weights.aligned_bytes for weights in stage.weights)
        count = stage.passes * (len(stage.strips) if stage.strips_outer else 1)
        return stage.blocks.largest * min(stage.weight_turns, count)

    def _out_bytes(self, stage: Stage) -> int:
        unit = stage.cascade.units[-1]
        blocks = stage.weights[-1].blocks
        channels = unit.out_shape[1]
        if blocks and stage.passes > 1:
            channels = max(stage.blocks.widths[1])
        tallest = max(strip.images * (strip.y1 - strip.y0) for strip in stage.strips)
        return tallest * unit.out_shape[3] * channels

    def _shared(self, stage: Stage) -> int:
        """Bytes by which input and output share their place: a row may be overwritten once no later strip reads it."""
        name, output = stage.cascade.units[0].inputs[0], stage.output
        dies = self.tensors.lives[name][1] <= stage.last and name not in self.tensors.border
        if not dies or output in self.tensors.bundled or not {name, output} <= stage.sides.resident:
            return 0
        if stage.first == stage.last and self.tensors.replaced(stage.first, stage.sides.resident):
            return 0  # it takes an operand's place
        shapes = stage.cascade.shapes[name], self.tensors.graph.stored[output].shape
        ahead = 0
        for work in stage.cascade.work:
            first = (work.strip.n0 * shapes[0][2] + work.windows.get(name, (0, 0))[0]) * row_bytes(shapes[0])
            last = ((work.strip.n1 - 1) * shapes[1][2] + work.strip.y1) * row_bytes(shapes[1])
            ahead = max(ahead, last - first)
        return max(0, self.tensors.size(output) - aligned(ahead) - 64)


def _with_buffers(way: tuple[Hashable, ...], stage: Stage) -> Iterator[tuple[Hashable, Stage]]:
    """A stage of one unit with more and with fewer buffers, and with inputs in slices of their channels."""
    streams = not stage.touched <= stage.sides.resident
    kinds = [(True, False), *([(True, True)] if streams and not stage.pinned else []), (False, False)]
    slicings = (False, True) if not stage.pinned and _reads_parts(stage) else (False,)
    for (overlap, lean), sliced in itertools.product(kinds, slicings):
        yield (*way, overlap, lean, sliced), replace(stage, overlap=overlap, lean=lean, sliced=sliced)


def _reads_parts(stage: Stage) -> bool:
    """Whether the slices of the blocks read different channels of what is streamed."""
    inputs = stage.cascade.units[0].inputs
    if not stage.blocks.parts or len(set(inputs)) < len(inputs):
        return False
    return any(min(stage.slice_widths(name)) < min(stage.read_widths(name)) for name in stage.streamed)


def _rows_at_once(cascade: Cascade) -> int:
    return cascade.units[0].rows_at_once(
        max(work.strip.images * (work.strip.y1 - work.strip.y0) for work in cascade.work)
    )
