"""The same elements in another order of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvm_re2na.codegen.emit.draft import Place, copy
from tvm_re2na.codegen.emit.views import View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Shape4
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.schedule.unit.base import Rows, Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights


@dataclass(frozen=True, eq=False)
class RelayoutUnit(Unit):
    """The same elements in (N, C, H, W) order, stored for another shape: all of them go to DRAM, channels-first, and come back in
    another order. The array has no part in it. Each pixel is a row: both shapes are (N, C, pixels, 1)."""

    @classmethod
    def between(cls, source: int, tensor: str, output: str, shape: Shape4, out_shape: Shape4) -> RelayoutUnit:
        """The unit that stores a tensor of `shape` once more, for `out_shape`."""
        shapes = ((batch, channels, height * width, 1) for batch, channels, height, width in (shape, out_shape))
        return cls(source, (tensor,), output, *shapes)

    @property
    def joins_cascades(self) -> bool:
        return False

    @property
    def kind(self) -> str:
        return "relayout"

    @property
    def scratch_bytes(self) -> int:
        return math.prod(self.out_shape)

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        return 0

    def settings(self, weights: Weights) -> list[Setting]:
        return []

    def draft(self, work: Work, writer: Writer) -> None:
        """Rows of the input go out."""
        self._transposed("STORE", self.in_shape, work.first_image, work.images, work.rows, work.sources[0], writer)

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        """About as many bytes."""
        first, last = (row * self.out_shape[1] // self.in_shape[1] for row in rows)
        return first, last

    def rows_at_once(self, rows: int) -> int:
        return max(1, rows * self.out_shape[1] // self.in_shape[1])

    def fetch(self, work: Work, writer: Writer) -> None:
        """Rows of the output come back."""
        self._transposed("LOAD", self.out_shape, work.first_image, work.images, work.rows, work.target, writer)

    def _transposed(
        self, name: str, shape: Shape4, first_image: int, images: int, rows: Rows, view: View, writer: Writer
    ) -> None:
        """Between channels-last in SRAM and channels-first in DRAM, in parts of as many pixels as an instruction counts."""
        _, channels, height, width = shape
        pixels = (rows[1] - rows[0]) * width
        _, most = limits_of(writer.arch, "LOAD", "planes")
        for image in range(images):
            start = (first_image + image) * channels * height * width + rows[0] * width
            for first in range(0, pixels, most):
                count = min(most, pixels - first)
                dram = Place("dram", self.scratch, start + first)
                sram = Place("sram", view.key, view.offset + image * view.image + first * channels)
                strides = (height * width, 1, count, 1, channels)
                writer.append(copy(name, self.source, dram, sram, channels, 1, *strides))
