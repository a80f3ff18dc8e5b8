"""What a stage costs: its phases, as the array and the bus take them, and in one number.

Transfers of weights and of what crosses the network's border go on beside the array's work. Those of tensors that might have
stayed in SRAM count as if nothing hid them: a schedule of as many cycles that moves fewer bytes is the better one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
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
    """Prices stages for given tensors in SRAM."""

    def __init__(self, cost: CostModel, arch: Architecture) -> None:
        self.cost = cost
        self.arch = arch

    def priced(self, tensors: Tensors, stage: Stage) -> Stage:
        """The stage with its cost, where its first load begins early enough."""
        cost, compute, moved = self.cost, self._switches(stage), self._weight_bytes(stage)
        for position, weights in enumerate(stage.weights):
            tiles = tiles_of(stage.cascade, position)
            compute += cost.unit_cycles(stage.first + position, weights, tiles, stage.chunk)
        compute += cost.move_cycles(stage.cascade, range(len(stage.strips)))
        moved += sum(map(sum, self._input_bytes(tensors, stage)))
        if stage.output in tensors.border:
            moved += math.prod(stage.cascade.units[-1].out_shape)
        total = max(compute, cost.transfer_cycles(moved)) + self._waits(stage) + self.exposed(tensors, stage)
        return replace(stage, cost=total, compute=compute)

    def exposed(self, tensors: Tensors, stage: Stage) -> int:
        """Cycles of the transfers that count as if nothing hid them."""
        return self.cost.transfer_cycles(
            self._again(stage)
            + sum(2 * unit.scratch_bytes for unit in stage.cascade.units)
            + self._spilled(tensors, stage)
        )

    def _waits(self, stage: Stage) -> int:
        """Cycles of waiting for weights, where there is one buffer for all of them."""
        if stage.overlap:
            return 0
        weights = self._weight_bytes(stage) + self._again(stage)
        return self.cost.transfer_cycles(weights) + len(stage.strips) * self.arch.dram_latency

    def _again(self, stage: Stage) -> int:
        """Bytes of weights that are loaded once more."""
        return self._weight_bytes(stage) * (len(stage.strips) - 1) if stage.strips_outer and not stage.pinned else 0

    def phases(self, tensors: Tensors, stage: Stage) -> list[Phase]:
        """In program order; together they take what `priced` counts but for `exposed`, and waiting."""
        inputs = self._input_bytes(tensors, stage)
        parts = self._strips_outer(stage) if stage.strips_outer else self._weights_outer(stage)
        return [
            Phase(
                self.cost.transfer_cycles(part.weights + (sum(inputs[part.strip]) if part.begins else 0)),
                part.compute,
                self._stored(tensors, stage, part.strip, part.channels) if part.channels else 0,
            )
            for part in parts
        ]

    def _weights_outer(self, stage: Stage) -> Iterator[_Part]:
        unit, index, rows = stage.cascade.units[0], stage.first, stage.weights[0].rows
        tiles = tile_sizes(stage.cascade, 0)
        for turn, blocks in enumerate(stage.block_slices):
            channels = sum(block.out_c for block in blocks)
            for strip, tile in enumerate(tiles):
                if strip:
                    compute = sum(self.cost.block_cycles(index, rows, block, tile) for block in blocks)
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

    def _strips_outer(self, stage: Stage) -> Iterator[_Part]:
        cascade, units = stage.cascade, stage.cascade.units
        tiles = [tile_sizes(cascade, position) for position in range(len(units))]
        between = self._switching(self._between(stage))
        within = self._switching(stage.settings)
        for strip in range(len(stage.strips)):
            waiting = self.cost.move_cycles(cascade, [strip]) + (between if strip else 0) + within
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
        return turns * self._switching(stage.settings) + (turns - 1) * self._switching(self._between(stage))

    def _between(self, stage: Stage) -> Sequence[Setting]:
        """Settings from the end of a strip to the start of the next, before which rows of inner tensors may move up."""
        moves = any(stage.cascade.moves)
        return [*stage.settings[-1:], *([(Mode.POOL, self.arch.array_rows)] if moves else []), *stage.settings[:1]]

    def _switching(self, settings: Sequence[Setting]) -> int:
        return sum(itertools.starmap(self.cost.switch_cycles, itertools.pairwise(settings)))

    # -- bytes

    def _weight_bytes(self, stage: Stage) -> int:
        """Of the weights, each counted once; coded ones as what the bus could move meanwhile."""
        bus_bytes = self.cost.weights.bus_bytes
        return sum(bus_bytes(stage.first + position, weights) for position, weights in enumerate(stage.weights))

    def _input_bytes(self, tensors: Tensors, stage: Stage) -> list[list[int]]:
        """Of the network's inputs, for each strip and input: rows that no strip before has asked for. Of those that do not stay in
        SRAM only the first: the others count as spilled."""
        loaded: dict[str, int] = {}
        found: list[list[int]] = []
        names = [name for unit in stage.cascade.units for name in unit.inputs]
        names = [
            name for name in dict.fromkeys(names) if name in tensors.inputs and tensors.lives[name][0] >= stage.first
        ]
        if not names:
            return [[] for _ in stage.cascade.work]
        for strip, work in enumerate(stage.cascade.work):
            found.append([])
            for name in names:
                height = stage.cascade.shapes[name][2]
                first, last = work.windows.get(name, (0, 0))
                start, stop = work.strip.n0 * height + first, (work.strip.n1 - 1) * height + last
                if stop > (done := loaded.get(name, 0)) and (tensors.resident(name) or strip == 0):
                    shape = stage.cascade.shapes[name] if tensors.resident(name) else stage.cascade.read_shape(name)
                    found[-1].append((stop - max(start, done)) * row_bytes(shape))
                    loaded[name] = stop
        return found

    def _stored(self, tensors: Tensors, stage: Stage, strip: int, channels: int) -> int:
        """Cycles of storing some channels of a strip's output, where it is the network's."""
        if stage.output not in tensors.border:
            return 0
        rows = stage.strips[strip]
        return self.cost.transfer_cycles(
            rows.images * (rows.y1 - rows.y0) * stage.cascade.units[-1].out_shape[3] * channels
        )

    def _spilled(self, tensors: Tensors, stage: Stage) -> int:
        """Of transfers between this stage and DRAM for tensors that might have stayed."""
        cascade, total = stage.cascade, 0
        runs = 1 if stage.strips_outer or len(stage.strips) == 1 else max(1, len(stage.block_slices))
        for name in dict.fromkeys(name for unit in cascade.units for name in unit.inputs):
            if tensors.resident(name) or name in cascade.inner:
                continue
            moved = sum(
                (work.windows[name][1] - work.windows[name][0]) * work.strip.images
                for work in cascade.work
                if name in work.windows
            )
            total += runs * moved * row_bytes(cascade.read_shape(name))
        if not tensors.resident(stage.output) and stage.output not in tensors.border:
            total += math.prod(cascade.units[-1].out_shape)
        return total


def _in_parts(strip: int, load: int, compute: int, channels: int, count: int) -> Iterator[_Part]:
    """A strip of a unit without blocks, whose sums are computed in so many parts, each with its weights; at most `MOST_PARTS` of
    them are told apart."""
    count = min(count, MOST_PARTS)
    for part in range(count):
        yield _Part(strip, part == 0, load // count, compute // count, channels if part == count - 1 else 0)
