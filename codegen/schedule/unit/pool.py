"""A pooling, a padding, a clip, or what moves: a maximum over windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tvm_re2na.codegen.emit.draft import Draft
from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Clip, MaxPool2d, Op, Shape4, Window
from tvm_re2na.codegen.graph.pixels import Pad
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Tiles, Unit, Work, narrowed_window, seen_places
from tvm_re2na.codegen.schedule.unit.blocks import Weights

PIXEL = Window((1, 1))  # of the pooling that moves, or clamps


@dataclass(frozen=True)
class PoolStep:
    """`pad_value` is what positions outside the image count as."""

    window: Window
    pad_value: int
    lo: int
    hi: int


COPY = PoolStep(PIXEL, 0, -128, 127)


@dataclass(frozen=True, eq=False)
class PoolUnit(Unit, of=(MaxPool2d, Pad, Clip)):
    """A pooling, a padding, what leaves pixels out, or a clip."""

    pool: PoolStep

    by_channel = True

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        return cls(source, inputs, op.output, in_shape, out_shape, _step(op))

    @property
    def kind(self) -> str:
        return "pool"

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        return seen_places(self.pool.window, 0, rows, self.in_shape[2])

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return seen_places(self.pool.window, 1, columns, self.in_shape[3])

    def narrowed_fields(self, columns: Columns) -> dict[str, Any]:
        window = narrowed_window(self.pool.window, columns, self.in_shape[3])
        return {**super().narrowed_fields(columns), "pool": replace(self.pool, window=window)}

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        return pool_cycles(self.pool.window, self.out_shape[1], tiles, durations)

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.POOL, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        """Columns on the left that are left out are where the input does not begin yet."""
        step, geometry = self.pool, self.geometry(self.pool.window, work)
        top, left, bottom, right = step.window.padding
        if left < 0:
            view = geometry.source
            view = replace(view, offset=view.offset - left * view.pixel)
            geometry = replace(geometry, source=view, in_width=geometry.in_width + left)
            step = replace(step, window=replace(step.window, padding=(top, 0, bottom, right)))
        draft_pool(writer, self.source, step, self.out_shape[1], geometry)


def _step(op: Op) -> PoolStep:
    if isinstance(op, Pad):
        return PoolStep(op.window, op.value, -128, 127)
    if isinstance(op, MaxPool2d):
        return PoolStep(op.window, -128, op.lo, op.hi)
    if isinstance(op, Clip):
        return PoolStep(PIXEL, -128, op.lo, op.hi)
    raise TypeError(f"{op.name}: {op.kind} is no pooling")


def pool_cycles(window: Window, channels: int, tiles: Tiles, durations: Durations) -> int:
    """Of one instruction a tile."""
    fields = {"n": 1, "out_h": 1, "in_c": channels, "kernel_h": window.kernel[0], "kernel_w": window.kernel[1]}
    return sum(
        strips * durations.cycles("POOL", out_w=outputs, **fields) for outputs, strips in tiles.items() if outputs
    )


def move_rows(writer: Writer, source: int, start: View, target: View, rows: int, width: int) -> None:
    """Within SRAM, by a pooling of single pixels."""
    draft_pool(writer, source, COPY, start.pixel, Geometry(start, target, 1, rows, width, rows, width, 0))


def draft_pool(writer: Writer, source: int, step: PoolStep, channels: int, geometry: Geometry) -> None:
    """One instruction."""
    writer.configure((Mode.POOL, writer.arch.array_rows), source)
    values = {"pad_value": step.pad_value, "lo": step.lo, "hi": step.hi, **geometry.fields(step.window, channels)}
    reads, writes = geometry.reads(channels), geometry.writes(channels)
    writer.append(Draft("POOL", source, values, geometry.places, reads, writes))
