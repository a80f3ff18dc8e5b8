"""Ways of working: the stages that some units could form, each with its SRAM and its cost.

The cost is modelled cycles on the array, of the weights' transfers meanwhile, and of transfers that nothing hides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES, aligned
from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.schedule.cost import Cost, CostModel, tiles_of
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.strips import Cascade, cut_strips, inner_bytes, row_bytes, strip_heights, unroll
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.unit.dense import DenseUnit
from tvm_re2na.codegen.schedule.unit.relayout import RelayoutUnit

MOST_STRIPS = 64  # of a stage, unless only more would fit


class Ways:
    """Lists the stages of some units for given tensors in SRAM."""

    def __init__(self, cost: CostModel, arch: Architecture) -> None:
        self.cost = cost
        self.arch = arch

    def whole(self, tensors: Tensors, index: int) -> Iterator[Stage]:
        """One unit, all of its output at once (a dense layer's weights in parts)."""
        unit = tensors.graph.units[index]
        if isinstance(unit, DenseUnit):
            yield from self._dense(tensors, index, unit)
        else:
            yield from self._weights_outer(tensors, index, unit.out_shape[0] * unit.out_shape[2])

    def strips(self, tensors: Tensors, index: int, fine: bool) -> Iterator[Stage]:
        """One unit in strips; many of them (`fine`), or not so many."""
        unit = tensors.graph.units[index]
        if isinstance(unit, DenseUnit):
            return
        for height in _heights(unit, fine):
            yield from self._weights_outer(tensors, index, height)
            if unit.joins_cascades:
                yield from self._strips_outer(tensors, index, index, height)

    def cascades(self, tensors: Tensors, first: int, last: int, fine: bool) -> Iterator[Stage]:
        """Several units, strip by strip, with their weights pinned."""
        units = tensors.graph.units[first : last + 1]
        largest = self.arch.array_rows
        if (
            sum(self.cost.weights.shaped(index, largest).bytes for index in range(first, last + 1))
            > self.arch.sram_bytes
        ):
            return
        whole = () if fine else (units[-1].out_shape[0] * units[-1].out_shape[2],)
        for height in (*whole, *_heights(units[-1], fine)):
            yield from self._strips_outer(tensors, first, last, height)

    def _weights_outer(self, tensors: Tensors, index: int, height: int) -> Iterator[Stage]:
        unit = tensors.graph.units[index]
        cascade = unroll((unit,), cut_strips(unit.out_shape, height))
        for weights in self.cost.shapes(index, tiles_of(cascade, 0)):
            stage = Stage(index, index, cascade, (weights,), slices=1, chunk=_copy_rows(unit, cascade))
            count = max(1, len(weights.blocks))
            sizes = {1} if len(cascade.work) == 1 else {1, count, -(-count // 2), -(-count // 4)}
            for size, overlap in itertools.product(sorted(sizes, reverse=True), (True, False)):
                yield self._priced(tensors, replace(stage, slices=size, overlap=overlap))

    def _strips_outer(self, tensors: Tensors, first: int, last: int, height: int) -> Iterator[Stage]:
        units = tensors.graph.units[first : last + 1]
        cascade = unroll(units, cut_strips(units[-1].out_shape, height))
        streams = not all(map(tensors.resident, (*(name for unit in units for name in unit.inputs), units[-1].output)))
        for weights in self._shapes_together(first, cascade):
            stage = Stage(first, last, cascade, weights, strips_outer=True)
            weighs = any(part.blocks for part in weights)
            for pinned in (True, False) if weighs and first == last else (weighs,):
                for overlap in (True, False) if streams or not pinned else (True,):
                    yield self._priced(tensors, replace(stage, pinned=pinned, overlap=overlap))

    def _shapes_together(self, first: int, cascade: Cascade) -> list[tuple[Weights, ...]]:
        """The units' shapes worth trying: for a unit alone each of its own; for several the fastest of each, and one for all,
        because the array switches between them in every strip."""
        choices = [
            self.cost.shapes(first + position, tiles_of(cascade, position)) for position in range(len(cascade.units))
        ]
        if len(choices) == 1:
            return [(weights,) for weights in choices[0]]
        found = [tuple(shapes[0] for shapes in choices)]
        for rows, _ in self.arch.shapes:
            known = [self.cost.weights.of_all_shapes(first + position) for position in range(len(choices))]
            found.append(
                tuple(
                    next((weights for weights in of_unit if weights.rows == rows), shapes[0])
                    for of_unit, shapes in zip(known, choices, strict=True)
                )
            )
        return list(dict.fromkeys(found))

    def _dense(self, tensors: Tensors, index: int, unit: DenseUnit) -> Iterator[Stage]:
        cascade = unroll((unit,), cut_strips(unit.out_shape, unit.out_shape[0]))
        border = sum(
            aligned(tensors.graph.stored[name].bytes)
            for name in (*unit.inputs, unit.output)
            if not tensors.resident(name)
        )
        none, waits = self.cost.weights.none, self.cost.transfer_cycles(unit.weight_bytes)
        setting, spilled = unit.settings(none)[0], self.cost.transfer_cycles(self._spilled(tensors, cascade, 1))
        chunk, rows = unit.largest_part(self.arch), unit.outputs_at_once(self.arch)
        while chunk:
            part = aligned(chunk * rows + BIAS_BYTES * rows)
            chunks = -(-unit.in_shape[1] // chunk) * -(-len(unit.weight) // rows)
            for buffers in sorted({1, min(2, chunks)}, reverse=True):
                exposed = (waits if buffers < min(2, chunks) else 0) + spilled
                compute = unit.cycles_in_parts(chunk, self.cost.durations)
                first, tail = waits // chunks + self.arch.dram_latency, compute // chunks + self.arch.dram_latency
                cost = Cost(compute, waits, 0, first, compute, tail, exposed)
                stage = Stage(index, index, cascade, (none,), chunk=chunk, overlap=buffers == 2)
                yield replace(stage, bytes=border + buffers * part, cost=cost, begins=setting, ends=setting)
            chunk //= 2

    # -- what they take

    def _priced(self, tensors: Tensors, stage: Stage) -> Stage:
        shared = self._shared(tensors, stage) if stage.strips_outer else 0
        size = self._bytes(tensors, stage) - shared
        settings = _settings(stage)
        begins, ends = (settings[0], settings[-1]) if settings else (None, None)
        cost = self._cost(tensors, stage, settings)
        return replace(stage, bytes=size, shared=shared, cost=cost, begins=begins, ends=ends)

    def _bytes(self, tensors: Tensors, stage: Stage) -> int:
        """SRAM beside the tensors that live on."""
        turns = 2 if stage.overlap else 1
        total = self._weight_bytes(stage, turns)
        for name, height in stage.cascade.heights.items():
            shape = stage.cascade.shapes[name]
            if name in stage.cascade.inner:
                total += inner_bytes(shape, height)
            elif not tensors.resident(name):
                total += turns * aligned(height * row_bytes(shape))
        if not tensors.resident(stage.output):
            total += turns * aligned(self._out_bytes(stage))
        return total

    def _weight_bytes(self, stage: Stage, turns: int) -> int:
        blocks = [block for weights in stage.weights for block in weights.blocks]
        if not blocks:
            return 0
        if stage.pinned:
            return sum(aligned(block.bytes) for block in blocks)
        if stage.strips_outer:
            return turns * aligned(max(block.bytes for block in blocks))
        sizes = [
            sum(aligned(block.bytes) for block in blocks[start : start + stage.slices])
            for start in range(0, len(blocks), stage.slices)
        ]
        return max(sizes) * min(turns, len(sizes))

    def _out_bytes(self, stage: Stage) -> int:
        unit = stage.cascade.units[-1]
        blocks = stage.weights[-1].blocks
        channels = unit.out_shape[1]
        if blocks and not stage.strips_outer:
            channels = max(
                sum(block.out_c for block in blocks[start : start + stage.slices])
                for start in range(0, len(blocks), stage.slices)
            )
        tallest = max(strip.images * (strip.y1 - strip.y0) for strip in stage.strips)
        return tallest * unit.out_shape[3] * channels

    def _shared(self, tensors: Tensors, stage: Stage) -> int:
        """Bytes by which input and output share their place: a row may be overwritten once no later strip reads it."""
        name, output = stage.cascade.units[0].inputs[0], stage.output
        dies = tensors.lives[name][1] <= stage.last and name not in tensors.border
        if not dies or not tensors.resident(name) or not tensors.resident(output):
            return 0
        shapes = stage.cascade.shapes[name], tensors.graph.stored[output].shape
        ahead = 0
        for work in stage.cascade.work:
            first = (work.strip.n0 * shapes[0][2] + work.windows.get(name, (0, 0))[0]) * row_bytes(shapes[0])
            last = ((work.strip.n1 - 1) * shapes[1][2] + work.strip.y1) * row_bytes(shapes[1])
            ahead = max(ahead, last - first)
        return max(0, tensors.size(output) - aligned(ahead) - 64)

    def _cost(self, tensors: Tensors, stage: Stage, settings: list[Setting]) -> Cost:
        cost, weights = self.cost, sum(part.bytes for part in stage.weights)
        pairs = list(enumerate(stage.weights))
        compute = sum(
            cost.unit_cycles(stage.first + position, part, tiles_of(stage.cascade, position))
            for position, part in pairs
        )
        moves, strips = cost.move_cycles(stage.cascade), len(stage.strips)
        compute += moves + self._switches(stage, settings, moves > 0)
        extra = weights * (strips - 1) if stage.strips_outer and not stage.pinned else 0
        runs = 1 if stage.strips_outer else -(-len(stage.weights[0].blocks) // stage.slices)
        exposed = sum(2 * unit.scratch_bytes for unit in stage.cascade.units)
        exposed += self._spilled(tensors, stage.cascade, max(1, runs) if strips > 1 else 1) + extra
        if not stage.overlap:
            exposed += weights + extra
        inputs, first = self._inputs(tensors, stage)
        stores, last = self._stored(tensors, stage)
        first += next((block.bytes for part in stage.weights for block in part.blocks), 0)
        latency, tail = self.arch.dram_latency, self._tail(stage, compute, inputs > 0)
        return Cost(
            compute,
            cost.transfer_cycles(weights + inputs),
            cost.transfer_cycles(stores - last),
            cost.transfer_cycles(first) + latency if first else 0,
            compute // max(1, strips * runs),
            tail + latency if weights + inputs else 0,
            cost.transfer_cycles(exposed + last) + (0 if stage.overlap else strips * latency),
        )

    def _tail(self, stage: Stage, compute: int, streams: bool) -> int:
        """Cycles on the array after the last load: that of the last slice of weights, or of the last strip's input."""
        blocks, strips = stage.weights[-1].blocks, len(stage.strips)
        if stage.pinned and not streams:
            return compute - compute // strips
        if stage.strips_outer or not blocks:
            return compute // strips
        last = Weights(stage.weights[-1].rows, blocks[(len(blocks) - 1) // stage.slices * stage.slices :])
        return self.cost.unit_cycles(stage.last, last, tiles_of(stage.cascade, -1))

    def _switches(self, stage: Stage, settings: list[Setting], moves: bool) -> int:
        """Cycles of reconfigurations within the stage: those of a strip for each that runs through all blocks, and those between
        two strips, where rows may move up."""
        turns = len(stage.strips) if stage.strips_outer or stage.slices >= len(stage.weights[0].blocks) else 1
        between = [*settings[-1:], *([(Mode.POOL, self.arch.array_rows)] if moves else []), *settings[:1]]
        return turns * self._switching(settings) + (turns - 1) * self._switching(between)

    def _switching(self, settings: list[Setting]) -> int:
        return sum(itertools.starmap(self.cost.switch_cycles, itertools.pairwise(settings)))

    def _inputs(self, tensors: Tensors, stage: Stage) -> tuple[int, int]:
        """Bytes of the network's inputs that come for this stage, and those of them that its first strip needs."""
        work, total, first = stage.cascade.work[0], 0, 0
        for name in dict.fromkeys(name for unit in stage.cascade.units for name in unit.inputs):
            if name in tensors.inputs and tensors.lives[name][0] >= stage.first and name in work.windows:
                rows = work.windows[name][1] - work.windows[name][0]
                total += tensors.graph.stored[name].bytes if tensors.resident(name) else 0
                first += rows * work.strip.images * row_bytes(stage.cascade.shapes[name])
        return total, first

    def _stored(self, tensors: Tensors, stage: Stage) -> tuple[int, int]:
        """Bytes of a network's output that the stage stores, and those of them that are stored when all else is done."""
        output, unit, blocks = stage.output, stage.cascade.units[-1], stage.weights[-1].blocks
        if output not in tensors.border:
            return 0, 0
        total = tensors.graph.stored[output].bytes
        if stage.last < len(tensors.graph.units) - 1:
            return total, 0
        channels, strip = unit.out_shape[1], stage.strips[-1]
        if blocks and not stage.strips_outer:
            channels = sum(block.out_c for block in blocks[(len(blocks) - 1) // stage.slices * stage.slices :])
        return total, strip.images * (strip.y1 - strip.y0) * unit.out_shape[3] * channels

    def _spilled(self, tensors: Tensors, cascade: Cascade, loads: int) -> int:
        """Bytes of transfers between this stage and DRAM for tensors that might have stayed."""
        total = 0
        for name in dict.fromkeys(name for unit in cascade.units for name in unit.inputs):
            if tensors.resident(name) or name in cascade.inner:
                continue
            moved = sum(
                (work.windows[name][1] - work.windows[name][0]) * work.strip.images
                for work in cascade.work
                if name in work.windows
            )
            total += loads * moved * row_bytes(cascade.shapes[name])
        output = cascade.units[-1].output
        if not tensors.resident(output) and output not in tensors.border:
            total += tensors.graph.stored[output].bytes
        return total


def _settings(stage: Stage) -> list[Setting]:
    """What the array is set to in a strip, one after the other."""
    pairs = zip(stage.cascade.units, stage.weights, strict=True)
    return [setting for unit, weights in pairs for setting in unit.settings(weights)]


def _heights(unit: Unit, fine: bool) -> list[int]:
    """Heights of strips of a unit's output, but all of it; those that make many strips, or the others."""
    count = unit.out_shape[0] * unit.out_shape[2]
    return [height for height in strip_heights(unit.out_shape)[1:] if (-(-count // height) > MOST_STRIPS) == fine]


def _copy_rows(unit: Unit, cascade: Cascade) -> int:
    """Input rows at a time of a copy to another layout: about as many bytes as a strip of its output."""
    if not isinstance(unit, RelayoutUnit):
        return 0
    strip = max(work.strip.images * (work.strip.y1 - work.strip.y0) for work in cascade.work)
    return max(1, strip * row_bytes(unit.out_shape) // row_bytes(unit.in_shape))
