"""The largest of several parts of the channels: a pooling whose window goes from part to part.

To the instruction the rows of an image are images of their own, whose rows, as many as there are parts, lie as far apart as these.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from tvm_re2na.codegen.emit.views import Geometry
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.channels import PartsMax
from tvm_re2na.codegen.graph.ops import Op, Shape4, Window
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.unit.pool import PoolStep, draft_pool, pool_cycles


@dataclass(frozen=True, eq=False)
class PartsUnit(Unit, of=(PartsMax,)):
    """Each image has an instruction of its own."""

    step: PoolStep

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, PartsMax):
            return super().made(op, source, inputs, in_shape, out_shape)
        step = PoolStep(Window((op.parts, 1)), -128, op.lo, op.hi)
        return cls(source, inputs, op.output, in_shape, out_shape, step)

    @property
    def kind(self) -> str:
        return "parts"

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """A tile of more than one image has them whole."""
        _, channels, height, width = self.out_shape
        of_images: Counter[int] = Counter()
        for outputs, count in tiles.items():
            images = max(1, outputs // (height * width))
            of_images[outputs // images] += count * images
        return pool_cycles(self.step.window, channels, of_images, durations)

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.POOL, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        (first, last), (_, channels, _, width) = work.rows, self.out_shape
        parts = self.step.window.kernel[0]
        for image in range(work.images):
            source, target = (
                replace(view, offset=view.offset + image * view.image, row=row, image=view.row)
                for view, row in ((work.sources[0], channels), (work.target, work.target.row))
            )
            geometry = Geometry(source, target, last - first, parts, width, 1, width, 0)
            draft_pool(writer, self.source, self.step, channels, geometry)
