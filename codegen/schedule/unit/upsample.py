"""A block of pixels made of each pixel, copies of it or parts of its channels: for each pixel of the block one pooling of single
pixels, which writes with the strides of the output."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Op, Shape4
from tvm_re2na.codegen.graph.pixels import DepthToSpace2d, Upsample2d
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.unit.pool import PIXEL, PoolStep, draft_pool, pool_cycles


@dataclass(frozen=True, eq=False)
class UpsampleUnit(Unit, of=(Upsample2d,)):
    """`factors`: rows and columns of the block."""

    factors: tuple[int, int]
    step: PoolStep

    by_channel = True

    @classmethod
    def pixel_step(cls, op: Op) -> int:
        return op.factors[1] if isinstance(op, (Upsample2d, DepthToSpace2d)) else 1

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, (Upsample2d, DepthToSpace2d)):
            return super().made(op, source, inputs, in_shape, out_shape)
        step = PoolStep(PIXEL, 0, op.lo, op.hi)
        return cls(source, inputs, op.output, in_shape, out_shape, op.factors, step)

    @property
    def kind(self) -> str:
        return "upsample"

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        return rows[0] // self.factors[0], -(-rows[1] // self.factors[0])

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return columns[0] // self.factors[1], columns[1] // self.factors[1]

    @property
    def column_step(self) -> int:
        return self.factors[1]

    @property
    def replaceable(self) -> tuple[str, ...]:
        return ()  # a pixel is read for its last copy when others have been written

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """Any run of rows has as many copies of each number as any other of its length."""
        down, across = self.factors
        copies: Counter[int] = Counter()
        for outputs, strips in tiles.items():
            rows = outputs // self.out_shape[3]
            for copy in range(down):
                copies[(rows + copy) // down * self.in_shape[3]] += strips * across
        return pool_cycles(PIXEL, self.out_shape[1], copies, durations)

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.POOL, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        down, across = self.factors
        channels, width = self.out_shape[1], self.in_shape[3]
        first, _ = self.needed_rows(0, work.rows)
        to = work.target
        for copy in range(down):  # of input rows start..stop, those copies that are among the output's
            start, stop = (-(-(row - copy) // down) for row in work.rows)
            for column in range(across if start < stop else 0):
                source = work.sources[0].at(self._first_channel(copy * across + column), start - first)
                offset = to.offset + (start * down + copy - work.rows[0]) * to.row + column * to.pixel
                target = View(to.key, offset, to.pixel * across, to.row * down, to.image)
                rows = stop - start
                geometry = Geometry(source, target, work.images, rows, width, rows, width, 0)
                draft_pool(writer, self.source, self.step, channels, geometry)

    def _first_channel(self, pixel: int) -> int:
        """Of the input, for a pixel of the block."""
        del pixel
        return 0


@dataclass(frozen=True, eq=False)
class DepthToSpaceUnit(UpsampleUnit, of=(DepthToSpace2d,)):
    """Each pixel of the block is a part of the channels."""

    by_channel = False

    @property
    def kind(self) -> str:
        return "depth_to_space"

    def _first_channel(self, pixel: int) -> int:
        return pixel * self.out_shape[1]
