"""The cost model of the search: cycles of a unit's instructions by THE duration table (`codegen/isa/durations.py`), for each shape
of the array.

What depends on neighbours, waiting for transfers and switching the array's connections, is added where a choice causes it
(`codegen/schedule/candidates.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.strips import Cascade
from tvm_re2na.codegen.schedule.unit.base import Tiles, Unit
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights
from tvm_re2na.codegen.schedule.unit.pool import PIXEL, pool_cycles
from tvm_re2na.codegen.schedule.weights import UnitWeights


class CostModel:
    """Cycles on one machine."""

    def __init__(self, units: Sequence[Unit], weights: UnitWeights, arch: Architecture) -> None:
        self.units = units
        self.weights = weights
        self.arch = arch
        self.durations = Durations(arch)
        self._blocks: dict[tuple[int, ...], int] = {}
        self._tiles: dict[tuple[int, int, int], int] = {}
        self._transfers: dict[int, int] = {}
        self._moves: dict[tuple[int, int], int] = {}

    def shapes(self, index: int, tiles: Tiles) -> list[Weights]:
        """The unit's blocks for the shapes worth trying on these tiles: the fastest one first (computing or waiting for its
        weights, whichever takes longer), all that are slower by less than switching the array there and back, and the one with
        the smallest blocks. Where the program begins or ends any may be: nothing hides the first load and the last store."""
        known = self.weights.of_all_shapes(index)
        if len(known) == 1:
            return known
        cycles = {
            weights: max(self.unit_cycles(index, weights, tiles), self.transfer_cycles(weights.bus_bytes))
            for weights in known
        }
        known.sort(key=lambda weights: (cycles[weights], weights.largest))
        if index in (0, len(self.units) - 1):
            return known
        most = cycles[known[0]] + 2 * self.durations.cycles("RECONFIGURE")
        smallest = min(known, key=lambda weights: weights.largest)
        return [
            weights
            for weights in known
            if weights is known[0]
            or cycles[weights] < most
            or (weights is smallest and weights.largest < known[0].largest)
        ]

    def unit_cycles(self, index: int, weights: Weights, tiles: Tiles, steps: int = 0) -> int:
        """Cycles on the array; of a sum that is cut in parts, `steps` at a time."""
        return self.units[index].cycles(weights, tiles, steps, self.durations)

    def block_cycles(self, index: int, rows: int, block: Block, outputs: int) -> int:
        """Cycles on the array for one block and a tile of that many outputs."""
        key = (index, rows, block.out_c, block.groups, block.steps, block.begins, block.ends, outputs)
        if key not in self._blocks:
            self._blocks[key] = self.unit_cycles(index, Weights(rows, (block,)), {outputs: 1})
        return self._blocks[key]

    def tile_cycles(self, index: int, outputs: int, steps: int) -> int:
        """Cycles on the array for a tile of that many outputs, of a unit that has no blocks; `steps` as for `unit_cycles`."""
        key = (index, outputs, steps)
        if key not in self._tiles:
            self._tiles[key] = self.unit_cycles(index, self.weights.none, {outputs: 1}, steps)
        return self._tiles[key]

    def move_cycles(self, stage: Stage, strips: Sequence[int]) -> int:
        """Cycles on the array for rows that move within the SRAM before these strips."""
        total = 0
        for strip in strips:
            for name, (first, last) in stage.moved_rows(strip).items():
                _, channels, _, width = stage.cascade.moved_shape(name)
                key = channels, (last - first) * width
                if key not in self._moves:
                    self._moves[key] = pool_cycles(PIXEL, channels, {key[1]: 1}, self.durations)
                total += self._moves[key]
        return total

    def transfer_cycles(self, size: int) -> int:
        if size not in self._transfers:
            self._transfers[size] = self.durations.cycles("LOAD", bytes=size, rows=1, planes=1)
        return self._transfers[size]

    def switch_cycles(self, before: Setting | None, after: Setting | None) -> int:
        """Of setting the array to something else; None is nothing in particular."""
        return self.durations.cycles("RECONFIGURE") if after is not None and before != after else 0


def tile_sizes(cascade: Cascade, position: int) -> list[int]:
    """Outputs of one channel that the unit at a position computes in each strip."""
    width = cascade.units[position].out_shape[3]
    return [
        (work.computed[position][1] - work.computed[position][0]) * work.strip.images * width for work in cascade.work
    ]


def tiles_of(cascade: Cascade, position: int) -> Tiles:
    """The same, those that are alike together."""
    return Counter(tile_sizes(cascade, position))
