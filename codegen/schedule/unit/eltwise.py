"""Sums of shifted operands, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Touch
from tvm_re2na.codegen.emit.views import View
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.schedule.unit.base import Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights


@dataclass(frozen=True, eq=False)
class EltwiseUnit(Unit):
    """Sum of shifted operands, or one operand alone, clamped."""

    shifts: tuple[int, ...]
    lo: int
    hi: int

    @property
    def kind(self) -> str:
        return "eltwise"

    def cycles(self, weights: Weights, tiles: Sequence[int], arch: Architecture) -> int:
        return self.alu_cycles(len(self.inputs), tiles, arch)

    def draft(self, work: Work, writer: Writer) -> None:
        """All images at once where nothing lies between them."""
        size = (work.rows[1] - work.rows[0]) * work.target.row
        views = (*work.sources, work.target)
        images = [0] if all(view.image == size for view in views) else range(work.images)
        length = size * work.images // len(images)
        for image in images:
            moved = [replace(view, offset=view.offset + image * view.image) for view in views]
            writer.configure(Mode.ELTWISE, self.source)
            writer.append(self._draft(moved[:-1], moved[-1], length))

    def _draft(self, operands: list[View], target: View, size: int) -> Draft:
        unary = len(operands) == 1
        values = {
            "bytes": size,
            "shift_a": self.shifts[0],
            "shift_b": 0 if unary else self.shifts[1],
            "unary": int(unary),
            "lo": self.lo,
            "hi": self.hi,
        }
        places = {"a_addr": operands[0].place, "b_addr": operands[-1].place, "out_addr": target.place}
        reads = tuple(Touch("sram", view.key, view.offset, view.offset + size) for view in operands)
        writes = (Touch("sram", target.key, target.offset, target.offset + size),)
        return Draft("ELTWISE", self.source, values, places, reads, writes)
