"""A convolution on the array, and what the output path does with its results."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import MOST_PARKED, MOST_PARTS, SUM_BYTES
from tvm_re2na.codegen.emit.draft import Draft, Place, Touch
from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Shape4, Window
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import (
    Columns,
    Rows,
    Sampling,
    Tiles,
    Unit,
    Work,
    narrowed_window,
    record_places,
    seen_places,
)
from tvm_re2na.codegen.schedule.unit.blocks import Block, BlockSize, Weights, biases, pack


@dataclass(frozen=True)
class AddStep:
    """A residual addition in the output path: result >> shift_a plus operand >> shift_b, clamped."""

    shift_a: int
    shift_b: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class ConvUnit(Unit):
    """A convolution, with the maximum over `pool` (rows, columns) of neighbouring results, or with the addition of inputs[1], which
    has the output's shape."""

    conv: Conv2d
    pool: tuple[int, int] = (1, 1)
    add: AddStep | None = None

    @property
    def kind(self) -> str:
        return "conv+pool" if self.pooled > 1 else "conv+add" if self.add else "conv"

    @property
    def pooled(self) -> int:
        """Results that become one output."""
        return self.pool[0] * self.pool[1]

    @property
    def is_joined(self) -> bool:
        """With a pooling or an addition."""
        return self.pooled > 1 or self.add is not None

    def operand_shape(self, operand: int) -> Shape4:
        return self.in_shape if operand == 0 else self.out_shape

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        if operand:
            return rows
        return seen_places(self.conv.window, 0, (rows[0] * self.pool[0], rows[1] * self.pool[0]), self.in_shape[2])

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return columns if operand else seen_places(self.conv.window, 1, self._before_pool(columns), self.in_shape[3])

    def narrowed_fields(self, columns: Columns) -> dict[str, Any]:
        window = narrowed_window(self.conv.window, self._before_pool(columns), self.in_shape[3])
        return {**super().narrowed_fields(columns), "conv": replace(self.conv, window=window)}

    def _before_pool(self, columns: Columns) -> Columns:
        return columns[0] * self.pool[1], columns[1] * self.pool[1]

    @property
    def replaceable(self) -> tuple[str, ...]:
        return self.inputs[1:]

    @property
    def sampled(self) -> Unit | None:
        """A window of one pixel steps over others."""
        window, (batch, channels, height, width) = self.conv.window, self.in_shape
        if window.kernel != (1, 1) or window.stride == (1, 1) or any(window.padding) or self.beside:
            return None
        return replace(
            self,
            conv=replace(self.conv, window=replace(window, stride=(1, 1))),
            in_shape=(batch, channels, *window.output_size(height, width)),
            sampling=Sampling(*window.stride, height, width),
        )

    def shapes(self, arch: Architecture) -> list[int]:
        return [rows for rows, columns in arch.shapes if self.pooled <= columns]

    def blocks(self, rows: int, arch: Architecture, depth: int = 0) -> list[Block]:
        conv = self.conv
        outputs, channels = conv.weight.shape[:2]
        per_group = outputs // conv.groups
        found = []
        for first, last, groups in channel_blocks(outputs, conv.groups, rows):
            lines = np.ascontiguousarray(conv.weight[first:last].transpose(2, 3, 1, 0))
            cut = conv.cut.of_channels(first, last)
            bias = biases(conv.bias[first:last], cut, arch)
            start, size = first // per_group * channels, depth or channels
            for at in range(0, channels, size):
                part = np.ascontiguousarray(lines[:, :, at : at + size]).reshape(-1, last - first)
                width = groups * min(size, channels - at)
                block = pack(start + at, width, groups, first, None if at else bias, part)
                ends = at + size >= channels
                found.append(replace(block, lsbs=bytes(cut.lsbs) if ends else b"", ends=ends))
        return found

    def part_depths(self) -> list[int]:
        """Not of sums that could leave 32 bits, in which they are parked."""
        channels = self.conv.weight.shape[1]
        if self.conv.groups > 1 or self.conv.weight[0].size > MOST_PARKED:
            return []
        most = min(channels, MOST_PARTS)
        return [-(-channels // parts) for parts in (2, 4, 8, 16, 32) if parts < most] + [-(-channels // most)]

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        return conv_cycles(weights.sizes, weights.rows, tiles, durations, self.pool, self.add is not None)

    def settings(self, weights: Weights) -> list[Setting]:
        return [conv_setting(grouped, weights.rows) for grouped in weights.runs]

    def draft(self, work: Work, writer: Writer) -> None:
        geometry = self.geometry(self.conv.window, work, self.pool[0])
        for block in work.blocks:
            record = work.record(block)
            placed = replace(geometry, source=geometry.source.at(block.in_c0), target=geometry.target.at(block.out_c0))
            operand = work.sources[1].at(block.out_c0) if self.add is not None and block.ends else None
            writer.configure(conv_setting(block.groups > 1, work.array_rows), self.source)
            draft = self._draft(block, work.array_rows, record, placed, operand)
            writer.append(draft if block.begins and block.ends else self._in_part(draft, block, work))

    def _in_part(self, draft: Draft, block: Block, work: Work) -> Draft:
        """With sums that were parked before, or are now."""
        pixels = work.images * (work.rows[1] - work.rows[0]) * self.out_shape[3] * self.pooled
        sums = Touch("sram", work.sums, 0, pixels * block.out_c * SUM_BYTES)
        values = {**draft.values, "first": int(block.begins), "last": int(block.ends)}
        return replace(
            draft,
            values=values,
            places={**draft.places, "sum_addr": Place("sram", work.sums, 0)},
            reads=draft.reads if block.begins else (*draft.reads, sums),
            writes=draft.writes if block.ends else (sums,),
        )

    def _draft(self, block: Block, rows: int, record: Hashable, geometry: Geometry, operand: View | None) -> Draft:
        values = {
            **conv_fields(block, rows, block.steps, self.conv.cut),
            "pool_h": self.pool[0],
            "pool_w": self.pool[1],
            "cuts": int(bool(block.lsbs)),
            **geometry.fields(self.conv.window, block.in_c),
        }
        places = {**geometry.places, **record_places(block, record)}
        reads = (*geometry.reads(block.in_c), Touch("sram", record, 0, block.bytes))
        if self.add is not None and operand is not None:
            values |= _add_fields(self.add, operand)
            places["add_addr"] = operand.place
            reads += (operand.touch(geometry.images, geometry.out_rows, geometry.out_width, block.out_c),)
        return Draft("CONV", self.source, values, places, reads, geometry.writes(block.out_c))


def conv_setting(grouped: bool, rows: int) -> Setting:
    return Mode.GROUPED if grouped else Mode.CONV, rows


def conv_fields(block: Block, rows: int, steps: int, cut: Cut) -> dict[str, int]:
    """What every CONV says of its block, on an array of `rows`, and of how sums leave it."""
    sizes = {"out_c": block.out_c, "groups": block.groups, "rows": rows, "steps": steps}
    return {**sizes, "lsb": cut.lsb, "lo": cut.lo, "hi": cut.hi}


def conv_cycles(
    sizes: Mapping[BlockSize, int],
    rows: int,
    tiles: Tiles,
    durations: Durations,
    pool: tuple[int, int] = (1, 1),
    adds: bool = False,
) -> int:
    """Of blocks of these sizes (as in `Weights.sizes`), one instruction a block and tile."""
    fields = {"n": 1, "out_h": 1, "rows": rows, "pool_h": pool[0], "pool_w": pool[1]}
    total = 0
    for (out_c, groups, steps, begins, ends), count in sizes.items():
        of_block = {**fields, "out_c": out_c, "groups": groups, "steps": steps, "add": int(adds and ends)}
        of_block |= {"first": int(begins), "last": int(ends)}
        for outputs, strips in tiles.items():
            if outputs:
                total += strips * count * durations.cycles("CONV", out_w=outputs, **of_block)
    return total


def pools_in_output_path(window: Window, arch: Architecture) -> bool:
    """Whether the array can pool as results leave it: windows tile the image, and fill the columns almost as well as pixels."""
    size = window.kernel[0] * window.kernel[1]
    tiles = window.kernel == window.stride and window.padding == (0, 0, 0, 0) and window.dilation == (1, 1)
    return tiles and 16 * (arch.array_columns // size * size) >= 15 * arch.array_columns


def _add_fields(add: AddStep, operand: View) -> dict[str, int]:
    return {
        "add": 1,
        "add_pixel_stride": operand.pixel,
        "add_row_stride": operand.row,
        "add_image_stride": operand.image,
        "shift_a": add.shift_a,
        "shift_b": add.shift_b,
        "add_lo": add.lo,
        "add_hi": add.hi,
    }
