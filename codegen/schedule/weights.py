"""The weights of all units as blocks, cut for each shape of the array in which someone asks for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy

from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.bytes import LITTLE
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights, with_coder

MUCH = 8  # a block of more than so many parts of the SRAM may come in parts


class UnitWeights:
    """Remembers what it has cut; one per compilation. Units that make columns of what one unit made have the same blocks."""

    def __init__(self, units: Sequence[Unit], arch: Architecture) -> None:
        self.units = units
        self.arch = arch
        self.none = Weights(arch.array_rows, ())  # of units that have none
        self._shaped: dict[tuple[Hashable, int, int], Weights] = {}
        self._records: dict[tuple[Hashable, int, int, int], Sequence[Block]] = {}

    def of(self, units: Sequence[Unit]) -> UnitWeights:
        """Of the same units, some of them cut along their columns."""
        other = copy(self)
        other.units = units
        return other

    def shaped(self, index: int, rows: int, depth: int = 0) -> Weights:
        """The blocks of a convolution for a shape, its sums in parts of `depth` input channels (0: as a whole)."""
        key = (self.units[index].whole, rows, depth)
        if key not in self._shaped:
            self._shaped[key] = Weights(
                rows, self._coded(index, self.units[index].blocks(rows, self.arch, depth)), depth
            )
        return self._shaped[key]

    def in_parts(self, index: int, whole: Weights) -> list[Weights]:
        """The same with sums in parts, where a block takes much of the SRAM."""
        if whole.largest * MUCH < self.arch.sram_bytes:
            return []
        found = []
        for depth in self.units[index].part_depths():
            found.append(self.shaped(index, whole.rows, depth))
            if found[-1].largest < self.arch.sram_bytes // LITTLE:
                break
        return found

    def bus_bytes(self, index: int, weights: Weights) -> int:
        """About how many bytes the bus could move while the unit's weights are loaded, in however many parts."""
        most = self.units[index].part_steps(self.arch)[:1]
        if weights.blocks or not most or self.arch.weight_coding is WeightCoding.NONE:
            return weights.bus_bytes or self.units[index].streamed_bytes
        return sum(block.bus_bytes for block in self.records(index, weights, *most))

    def _coded(self, index: int, blocks: Sequence[Block]) -> tuple[Block, ...]:
        return with_coder(blocks, self.arch) if self.units[index].codable else tuple(blocks)

    def of_all_shapes(self, index: int) -> list[Weights]:
        """The blocks for each shape that the unit can work in, or those of a unit that has none."""
        return [self.shaped(index, rows) for rows in self.units[index].shapes(self.arch)] or [self.none]

    def records(self, index: int, weights: Weights, steps: int) -> Sequence[Block]:
        """What is loaded of the unit's weights, in order: the blocks chosen for it, or sums in parts of at most `steps` steps."""
        key = (self.units[index].whole, weights.rows, weights.depth, steps)
        if key not in self._records:
            records = self.units[index].records(weights, steps, self.arch)
            self._records[key] = records if records is weights.blocks else self._coded(index, records)
        return self._records[key]
