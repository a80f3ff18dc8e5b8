"""What a stage costs: its phases, as the array and the bus take them, and in one number.

Transfers of weights and of what crosses the network's border go on beside the array's work. Those of tensors that might have
stayed in SRAM count as if nothing hid them: a schedule of as many cycles that moves fewer bytes is the better one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.schedule.clock import Phase
from tvm_re2na.codegen.schedule.cost import CostModel, tile_sizes, tiles_of
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.unit.base import row_bytes

MOST_PARTS = 64  # of a dense layer's sums, as phases


class _Part(NamedTuple):
    """A phase before its bytes are cycles."""

    strip: int
    begins: bool  # whether the strip's input rows come with it
    weights: int  # bytes that come with it
    compute: int
    channels: int  # of the output that are done with it


class Price:
    """Prices stages."""

    def __init__(self, tensors: Tensors, cost: CostModel, arch: Architecture) -> None:
        self.tensors = tensors
        self.cost = cost
        self.arch = arch
        self._compute: dict[Hashable, int] = {}

    def priced(self, stage: Stage) -> Stage:
        """The stage with its cost. Rows that two strips of a streamed input share move on chip where that is cheaper than to load
        them again."""
        priced = self._priced(stage)
        gone = stage.strips_outer and stage.sliced  # the next strip begins with other channels
        if gone or not any(map(stage.cascade.overlaps, stage.streamed)):
            return priced
        return min(priced, self._priced(replace(stage, keeps=True)), key=lambda stage: stage.cost)

    def compute(self, stage: Stage) -> int:
        """Cycles on the array of what its units compute."""
        key = (stage.cascade, stage.weights, stage.chunk)
        if key not in self._compute:
            self._compute[key] = sum(
                self.cost.unit_cycles(stage.first + position, weights, tiles_of(stage.cascade, position), stage.chunk)
                for position, weights in enumerate(stage.weights)
            )
        return self._compute[key]

    def _priced(self, stage: Stage) -> Stage:
        """The stage with its cost, where its first load begins early enough."""
        cost, moved = self.cost, self._weight_bytes(stage)
        compute = self._switches(stage) + self.compute(stage)
        compute += cost.move_cycles(stage, range(len(stage.strips)))
        moved += sum(map(sum, self._input_bytes(stage)))
        if stage.output in self.tensors.border:
            moved += math.prod(stage.cascade.units[-1].out_shape)
        total = max(compute, cost.transfer_cycles(moved)) + self._waits(stage) + self.exposed(stage)
        return replace(stage, cost=total, compute=compute)

    def exposed(self, stage: Stage) -> int:
        """Cycles of the transfers that count as if nothing hid them."""
        return self.cost.transfer_cycles(
            self._again(stage) + sum(2 * unit.scratch_bytes for unit in stage.cascade.units) + self._avoidable(stage)
        )

    def _waits(self, stage: Stage) -> int:
        """Cycles of waiting for what has one buffer: the latency of rows, whose transfers count as exposed, and weights."""
        if stage.row_turns > 1:
            return 0
        loads = stage.rounds if stage.streamed else 0
        sends = 0 if stage.output in stage.sides.resident else stage.results[-1]
        waits = len(stage.strips) * (loads + sends) * self.arch.dram_latency
        if stage.overlap:
            return waits
        blocks = 1 if stage.pinned else stage.passes * (len(stage.strips) if stage.strips_outer else 1)
        weights = self._weight_bytes(stage) + self._again(stage)
        return waits + self.cost.transfer_cycles(weights) + blocks * self.arch.dram_latency

    def _again(self, stage: Stage) -> int:
        """Bytes of weights that are loaded once more."""
        return self._weight_bytes(stage) * (len(stage.strips) - 1) if stage.strips_outer and not stage.pinned else 0

    def phases(self, stage: Stage) -> list[Phase]:
        """In program order; together they take what `priced` counts but for `exposed`, and waiting."""
        inputs = self._input_bytes(stage)
        parts = self._strips_outer(stage) if stage.strips_outer else self._weights_outer(stage)
        return [
            Phase(
                self.cost.transfer_cycles(part.weights + (sum(inputs[part.strip]) if part.begins else 0)),
                part.compute,
                self._stored(stage, part.strip, part.channels) if part.channels else 0,
            )
            for part in parts
        ]

    def _weights_outer(self, stage: Stage) -> Iterator[_Part]:
        unit, index, rows = stage.cascade.units[0], stage.first, stage.weights[0].rows
        tiles = tile_sizes(stage.cascade, 0)
        for turn, blocks in enumerate(stage.blocks.parts):
            channels = sum(block.out_c for block in blocks if block.ends)
            for strip, tile in enumerate(tiles):
                if strip:
                    compute = self._moving(stage, strip)
                    compute += sum(self.cost.block_cycles(index, rows, block, tile) for block in blocks)
                    yield _Part(strip, turn == 0, 0, compute, channels)
                    continue
                for number, block in enumerate(blocks):
                    compute = self.cost.block_cycles(index, rows, block, tile)
                    done = channels if number == len(blocks) - 1 else 0
                    yield _Part(strip, turn == number == 0, block.bus_bytes, compute, done)
        if not stage.weights[0].blocks:
            load, channels = self._weight_bytes(stage), unit.out_shape[1]
            for strip, tile in enumerate(tiles):
                compute = self.cost.tile_cycles(index, tile, stage.chunk)
                yield from _in_parts(strip, load, compute, channels, unit.parts_of_sums(stage.chunk, self.arch))

    def _moving(self, stage: Stage, strip: int) -> int:
        """Cycles on the array before a strip, of rows that move on from the one before."""
        return self.cost.move_cycles(stage, [strip]) + self._switching(self._between(stage)) if stage.keeps else 0

    def _strips_outer(self, stage: Stage) -> Iterator[_Part]:
        cascade, units = stage.cascade, stage.cascade.units
        tiles = [tile_sizes(cascade, position) for position in range(len(units))]
        between = self._switching(self._between(stage))
        within = self._switching(stage.settings)
        for strip in range(len(stage.strips)):
            waiting = self.cost.move_cycles(stage, [strip]) + (between if strip else 0) + within
            begins = True
            for position, weights in enumerate(stage.weights):
                index, tile = stage.first + position, tiles[position][strip]
                if not weights.blocks:
                    waiting += self.cost.tile_cycles(index, tile, stage.chunk)
                for block in weights.blocks:
                    waiting += self.cost.block_cycles(index, weights.rows, block, tile)
                    if strip == 0:
                        yield _Part(strip, begins, block.bus_bytes, waiting, 0)
                        begins, waiting = False, 0
            yield _Part(strip, begins, 0, waiting, units[-1].out_shape[1])

    # -- switching the array

    def _switches(self, stage: Stage) -> int:
        """Cycles within the stage: those of a strip for each that runs through all blocks, and those between two such strips."""
        turns = len(stage.strips) if stage.strips_outer or stage.slices >= len(stage.weights[0].blocks) else 1
        changes = turns - 1
        if stage.keeps and not stage.strips_outer:
            changes = (len(stage.strips) - 1) * max(1, len(stage.blocks.parts))
        return turns * self._switching(stage.settings) + changes * self._switching(self._between(stage))

    def _between(self, stage: Stage) -> Sequence[Setting]:
        """Settings from the end of a strip to the start of the next, before which rows of inner tensors may move up."""
        moves = stage.keeps or any(stage.cascade.moves)
        return [*stage.settings[-1:], *([(Mode.POOL, self.arch.array_rows)] if moves else []), *stage.settings[:1]]

    def _switching(self, settings: Sequence[Setting]) -> int:
        return sum(itertools.starmap(self.cost.switch_cycles, itertools.pairwise(settings)))

    # -- bytes

    def _weight_bytes(self, stage: Stage) -> int:
        """Of the weights, each counted once; coded ones as what the bus could move meanwhile."""
        bus_bytes = self.cost.weights.bus_bytes
        return sum(bus_bytes(stage.first + position, weights) for position, weights in enumerate(stage.weights))

    def _first_read(self, stage: Stage) -> list[str]:
        """The network's inputs that no stage before has read."""
        names = dict.fromkeys(name for unit in stage.cascade.units for name in unit.inputs)
        return [name for name in names if name in self.tensors.inputs and self.tensors.lives[name][0] >= stage.first]

    def _input_bytes(self, stage: Stage) -> list[list[int]]:
        """Of those, for each strip and input: rows that no strip before has asked for."""
        names, cascade = self._first_read(stage), stage.cascade
        if not names:
            return [[] for _ in cascade.work]
        loaded: dict[str, int] = {}
        found: list[list[int]] = []
        for work in cascade.work:
            found.append([])
            for name in names:
                shape = cascade.shapes[name] if name in stage.sides.resident else cascade.read_shape(name)
                first, last = work.windows.get(name, (0, 0))
                start, stop = work.strip.n0 * shape[2] + first, (work.strip.n1 - 1) * shape[2] + last
                if stop > (done := loaded.get(name, 0)):
                    found[-1].append((stop - max(start, done)) * row_bytes(shape))
                    loaded[name] = stop
        return found

    def _stored(self, stage: Stage, strip: int, channels: int) -> int:
        """Cycles of storing some channels of a strip's output, where it is the network's."""
        if stage.output not in self.tensors.border:
            return 0
        rows = stage.strips[strip]
        return self.cost.transfer_cycles(
            rows.images * (rows.y1 - rows.y0) * stage.cascade.units[-1].out_shape[3] * channels
        )

    def _avoidable(self, stage: Stage) -> int:
        """Bytes that move between this stage and DRAM for tensors that might have stayed, or were there before."""
        cascade, sides, total = stage.cascade, stage.sides, 0
        first_read = self._first_read(stage)
        for name in sides.fetched - set(first_read):
            total += self.tensors.graph.stored[name].bytes
        for name in stage.streamed:
            rows = sum(stage.loaded_rows(strip, name) for strip in range(len(cascade.work)))
            total += rows * cascade.read_shape(name)[3] * sum(stage.read_widths(name))
        total -= sum(map(sum, self._input_bytes(stage))) if not set(first_read) <= sides.resident else 0
        if stage.output not in sides.resident and stage.output not in self.tensors.border:
            total += math.prod(cascade.units[-1].out_shape)
        return max(0, total)


def _in_parts(strip: int, load: int, compute: int, channels: int, count: int) -> Iterator[_Part]:
    """A strip of a unit without blocks, whose sums are computed in so many parts, each with its weights; at most `MOST_PARTS` of
    them are told apart."""
    count = min(count, MOST_PARTS)
    for part in range(count):
        yield _Part(strip, part == 0, load // count, compute // count, channels if part == count - 1 else 0)
