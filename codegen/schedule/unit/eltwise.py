"""The sum of two shifted operands, element by element."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from tvm_re2na.codegen.emit.draft import Draft, Touch
from tvm_re2na.codegen.emit.views import View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Add, Op, Shape4
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Tiles, Unit, Work, row_bytes
from tvm_re2na.codegen.schedule.unit.blocks import Weights


@dataclass(frozen=True, eq=False)
class EltwiseUnit(Unit, of=(Add,)):
    """Sum of two shifted operands, clamped."""

    shifts: tuple[int, int]
    lo: int
    hi: int

    plain = True

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, Add):
            return super().made(op, source, inputs, in_shape, out_shape)
        return cls(source, inputs, op.output, in_shape, out_shape, op.shifts, op.lo, op.hi)

    @property
    def kind(self) -> str:
        return "eltwise"

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        channels = self.out_shape[1]
        return sum(
            strips * durations.cycles("ELTWISE", bytes=outputs * channels, unary=0)
            for outputs, strips in tiles.items()
            if outputs
        )

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.ELTWISE, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        """All rows, and all images, at once where nothing lies between them."""
        row, rows, views = row_bytes(self.out_shape), work.rows[1] - work.rows[0], (*work.sources, work.target)
        rows_at_once = rows if all(view.row == row for view in views) else 1
        together = rows_at_once == rows and all(view.image == rows * row for view in views)
        images_at_once = work.images if together else 1
        for image, y in product(range(0, work.images, images_at_once), range(0, rows, rows_at_once)):
            *operands, target = (replace(view, offset=view.offset + image * view.image).at(row=y) for view in views)
            writer.configure((Mode.ELTWISE, work.array_rows), self.source)
            writer.append(self._draft(operands, target, images_at_once * rows_at_once * row))

    def _draft(self, operands: list[View], target: View, size: int) -> Draft:
        values = {
            "bytes": size,
            "shift_a": self.shifts[0],
            "shift_b": self.shifts[1],
            "unary": 0,
            "lo": self.lo,
            "hi": self.hi,
        }
        places = {"a_addr": operands[0].place, "b_addr": operands[1].place, "out_addr": target.place}
        reads = tuple(Touch("sram", view.key, view.offset, view.offset + size) for view in operands)
        writes = (Touch("sram", target.key, target.offset, target.offset + size),)
        return Draft("ELTWISE", self.source, values, places, reads, writes)
