"""Rows or columns of several tensors one after the other: a pooling of single pixels moves each to its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tvm_re2na.codegen.emit.views import Geometry
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Op, Shape4
from tvm_re2na.codegen.graph.pixels import ConcatPixels
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.unit.pool import COPY, PIXEL, draft_pool, pool_cycles


class _Part(NamedTuple):
    """Rows start..stop and `width` columns of an operand, whose first pixel becomes that of row `row` and column `column`."""

    operand: int
    start: int
    stop: int
    width: int
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class ConcatUnit(Unit, of=(ConcatPixels,)):
    """`axis` 0: rows, 1: columns; `sizes`: how many each operand has."""

    axis: int
    sizes: tuple[int, ...]

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, ConcatPixels):
            return super().made(op, source, inputs, in_shape, out_shape)
        return cls(source, inputs, op.output, in_shape, out_shape, op.axis, op.sizes)

    @property
    def kind(self) -> str:
        return "concat"

    @property
    def joins_cascades(self) -> bool:
        """One below the other is only what has been made: the second may be made of the first, from its first row on."""
        return self.axis == 1

    def operand_shape(self, operand: int) -> Shape4:
        batch, channels, *image = self.out_shape
        image[self.axis] = self.sizes[operand]
        return batch, channels, image[0], image[1]

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        return rows if self.axis else self._needed(operand, rows)

    def _needed(self, operand: int, outputs: Rows) -> Rows:
        """Of an operand's rows, or columns, those that are among the output's."""
        first, size = sum(self.sizes[:operand]), self.sizes[operand]
        start = min(max(outputs[0] - first, 0), size)
        return start, max(min(outputs[1] - first, size), start)

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return columns if self.axis == 0 else self._needed(operand, columns)

    def narrowed_fields(self, columns: Columns) -> dict[str, Any]:
        """Of the operands that stand there."""
        fields = super().narrowed_fields(columns)
        if self.axis == 0:
            return fields
        needed = [self._needed(operand, columns) for operand in range(len(self.inputs))]
        kept = [operand for operand, (first, last) in enumerate(needed) if first < last]
        return {
            **fields,
            "inputs": tuple(self.inputs[operand] for operand in kept),
            "sizes": tuple(needed[operand][1] - needed[operand][0] for operand in kept),
            "among": tuple(self.part(operand) for operand in kept),
            "beside": tuple(fields["beside"][operand] for operand in kept),
        }

    @property
    def replaceable(self) -> tuple[str, ...]:
        return ()  # an operand's rows lie elsewhere in the output

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """Of runs of rows that begin where the output does: others may lie in other operands."""
        _, channels, height, width = self.out_shape
        total = 0
        for outputs, count in tiles.items():
            images, rows = max(1, outputs // (height * width)), min(outputs // width, height)
            for part in self._parts((0, rows)):
                pixels = {images * (part.stop - part.start) * part.width: count}
                total += pool_cycles(PIXEL, channels, pixels, durations)
        return total

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.POOL, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        for part in self._parts(work.rows):
            rows, to = part.stop - part.start, work.target
            target = replace(to, offset=to.offset + (part.row - work.rows[0]) * to.row + part.column * to.pixel)
            sizes = rows, part.width, rows, part.width
            geometry = Geometry(work.sources[part.operand], target, work.images, *sizes, 0)
            draft_pool(writer, self.source, COPY, self.out_shape[1], geometry)

    def _parts(self, rows: Rows) -> Iterator[_Part]:
        """Of the operands those that some rows of the output are of."""
        first = 0
        for operand, size in enumerate(self.sizes):
            start, stop = self.needed_rows(operand, rows)
            row, column = (start, first) if self.axis else (first + start, 0)
            if start < stop:
                yield _Part(operand, start, stop, self.operand_shape(operand)[3], row, column)
            first += size
