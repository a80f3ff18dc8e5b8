"""The cost model of the search: cycles of a unit's work, and the weights it needs, for each shape of the array.

Cycles follow the simulator's model (docs/timing.md) but for what depends on neighbours: waiting for transfers, and switching the
array's connections. Both are added by `codegen/schedule/ways.py` where a choice causes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.schedule.strips import Cascade
from tvm_re2na.codegen.schedule.unit.base import Unit, overhead
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights
from tvm_re2na.codegen.schedule.unit.dense import DenseUnit


class CostModel:
    """Remembers what it has worked out of each unit; one per compilation."""

    def __init__(self, units: Sequence[Unit], arch: Architecture) -> None:
        self.units = units
        self.arch = arch
        self._weights: dict[tuple[int, int], Weights] = {}
        self._parts: dict[tuple[int, int], list[Block]] = {}
        self.overhead = overhead(arch)

    def weights(self, index: int, rows: int) -> Weights:
        """The blocks of a convolution for a shape, or none where the unit is no convolution."""
        key = (index, rows)
        if key not in self._weights:
            self._weights[key] = Weights(rows, tuple(self.units[index].blocks(rows, self.arch)))
        return self._weights[key]

    def records(self, index: int, weights: Weights, steps: int) -> Sequence[Block]:
        """What is loaded of the unit's weights, in order: the blocks chosen for it, a dense layer's in parts of `steps` steps."""
        unit, key = self.units[index], (index, steps)
        if not isinstance(unit, DenseUnit):
            return weights.blocks
        if key not in self._parts:
            self._parts[key] = unit.parts(steps, self.arch)
        return self._parts[key]

    def shapes(self, index: int, tiles: Sequence[int]) -> list[Weights]:
        """The unit's blocks for the shapes worth trying on tiles of that many outputs (pooled windows, where the unit pools): the
        fastest one (computing or waiting for its weights, whichever takes longer), and the one with the smallest blocks."""
        unit = self.units[index]
        known = [self.weights(index, rows) for rows in unit.shapes(self.arch)]
        if not known:
            return [Weights(0, ())]
        fastest = min(
            known,
            key=lambda weights: (
                max(unit.cycles(weights, tiles, self.arch), self.transfer_cycles(weights.bytes)),
                weights.largest,
            ),
        )
        smallest = min(known, key=lambda weights: weights.largest)
        return [fastest] if smallest.largest == fastest.largest else [fastest, smallest]

    def unit_cycles(self, index: int, weights: Weights, tiles: Sequence[int]) -> int:
        """Cycles on the array for tiles of that many outputs (without channels)."""
        return self.units[index].cycles(weights, tiles, self.arch)

    def transfer_cycles(self, size: int) -> int:
        return -(-size // self.arch.dram_bytes_per_cycle)


def tiles_of(cascade: Cascade, position: int) -> list[int]:
    """Outputs (without channels) that the unit at a position computes in each strip."""
    width = cascade.units[position].out_shape[3]
    return [
        (work.computed[position][1] - work.computed[position][0]) * work.strip.images * width for work in cascade.work
    ]
