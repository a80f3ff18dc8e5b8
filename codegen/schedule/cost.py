"""The cost model of the search: cycles of a unit's work, and the weights it needs, for each shape of the array.

Cycles follow the simulator's model (docs/timing.md) but for what depends on neighbours: waiting for transfers, and switching the
array's connections. Both are added by `codegen/schedule/ways.py` where a choice causes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES
from tvm_re2na.codegen.schedule.blocks import Block, conv_blocks, dense_blocks, dense_rows
from tvm_re2na.codegen.schedule.strips import Cascade
from tvm_re2na.codegen.schedule.units import ConvUnit, DenseUnit, EltwiseUnit, PoolUnit, Unit

DENSE_CHUNK_BYTES = 128 * 1024  # of a dense layer's weights: a transfer that hides the latency of the next one


@dataclass(frozen=True)
class Weights:
    """The blocks of a unit for one shape of the array."""

    rows: int
    blocks: tuple[Block, ...]

    @property
    def bytes(self) -> int:
        return sum(block.bytes for block in self.blocks)

    @property
    def largest(self) -> int:
        return max((block.bytes for block in self.blocks), default=0)

    @property
    def steps(self) -> int:
        return sum(block.steps for block in self.blocks)


class CostModel:
    """Remembers what it has worked out of each unit; one per compilation."""

    def __init__(self, units: Sequence[Unit], arch: Architecture) -> None:
        self.units = units
        self.arch = arch
        self._weights: dict[tuple[int, int], Weights] = {}
        self._dense: dict[tuple[int, int], list[list[Block]]] = {}
        self.overhead = arch.array_fill_cycles + arch.mac_latency + 1  # of one instruction, beside its steps

    def weights(self, index: int, rows: int) -> Weights:
        """The blocks of a convolution for a shape, or none where the unit is no convolution."""
        key = (index, rows)
        if key not in self._weights:
            unit = self.units[index]
            blocks = conv_blocks(unit.conv, rows, self.arch) if isinstance(unit, ConvUnit) else []
            self._weights[key] = Weights(rows, tuple(blocks))
        return self._weights[key]

    def dense_chunk(self, unit: DenseUnit) -> int:
        """Steps of a dense layer's sum whose weights are worth one transfer."""
        return max(1, min(unit.in_shape[1], DENSE_CHUNK_BYTES // dense_rows(unit, self.arch)))

    def dense_parts(self, index: int, chunk: int) -> list[list[Block]]:
        """The blocks of a dense layer, each in parts of at most `chunk` steps."""
        unit, key = self.units[index], (index, chunk)
        if key not in self._dense and isinstance(unit, DenseUnit):
            self._dense[key] = dense_blocks(unit, chunk, self.arch)
        return self._dense[key]

    def shapes(self, index: int, tiles: Sequence[int]) -> list[Weights]:
        """The unit's blocks for the shapes worth trying on tiles of that many outputs (pooled windows, where the unit pools): the
        fastest one (computing or waiting for its weights, whichever takes longer), and the one with the smallest blocks."""
        unit = self.units[index]
        if not isinstance(unit, ConvUnit):
            return [Weights(0, ())]
        pooled = unit.pool[0] * unit.pool[1]
        known = [self.weights(index, rows) for rows, columns in self.arch.shapes if pooled <= columns]
        fastest = min(
            known,
            key=lambda weights: (
                max(self.conv_cycles(unit, weights, tiles), self.transfer_cycles(weights.bytes)),
                weights.largest,
            ),
        )
        smallest = min(known, key=lambda weights: weights.largest)
        return [fastest] if smallest.largest == fastest.largest else [fastest, smallest]

    def conv_cycles(self, unit: ConvUnit, weights: Weights, tiles: Iterable[int]) -> int:
        columns = self.arch.pe_count // weights.rows // (unit.pool[0] * unit.pool[1])
        counts = [tile for tile in tiles if tile]
        passes = sum(-(-tile // columns) for tile in counts)
        return passes * weights.steps * self.arch.mac_interval + len(counts) * len(weights.blocks) * self.overhead

    def unit_cycles(self, index: int, weights: Weights, tiles: Sequence[int]) -> int:
        """Cycles on the array for tiles of that many outputs (without channels)."""
        unit, arch = self.units[index], self.arch
        channels = unit.out_shape[1]
        if isinstance(unit, ConvUnit):
            return self.conv_cycles(unit, weights, tiles)
        if isinstance(unit, DenseUnit):
            blocks = -(-len(unit.weight) // dense_rows(unit, arch))
            return unit.in_shape[0] * unit.in_shape[1] * blocks * arch.mac_interval + blocks * self.overhead
        operands = 1
        if isinstance(unit, PoolUnit):
            operands = unit.pool.window.kernel[0] * unit.pool.window.kernel[1]
        elif isinstance(unit, EltwiseUnit):
            operands = len(unit.inputs)
        passes = sum(-(-tile * channels // arch.pe_count) for tile in tiles)
        return passes * operands * arch.alu_interval + len(tiles) * self.overhead

    def transfer_cycles(self, size: int) -> int:
        return -(-size // self.arch.dram_bytes_per_cycle)


def tiles_of(cascade: Cascade, position: int) -> list[int]:
    """Outputs (without channels) that the unit at a position computes in each strip."""
    width = cascade.units[position].out_shape[3]
    return [
        (work.computed[position][1] - work.computed[position][0]) * work.strip.images * width for work in cascade.work
    ]


def dense_bytes(unit: DenseUnit) -> int:
    """Weights and biases of a dense layer, all steps counted."""
    return int(unit.weight.size) + BIAS_BYTES * len(unit.weight)
