"""A transposed convolution: for each place that an output can have between two inputs an ordinary one, whose results lie a stride
apart. No zero is multiplied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Place, Touch
from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.ops import Op, Shape4, Window
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d, SubKernel
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights, biases
from tvm_re2na.codegen.schedule.unit.conv import conv_cycles, conv_fields, conv_setting


@dataclass(frozen=True)
class _Part:
    """One of the convolutions: what it sees along both axes, and behind how many positions of the kernel its weights lie."""

    rows: SubKernel
    columns: SubKernel
    position: int

    @property
    def positions(self) -> int:
        return len(self.rows.taps) * len(self.columns.taps)


@dataclass(frozen=True, eq=False)
class TransposedUnit(Unit, of=(ConvTranspose2d,)):
    """A block holds the lines of all its convolutions, one after the other."""

    op: ConvTranspose2d

    @classmethod
    def pixel_step(cls, op: Op) -> int:
        return op.window.stride[1] if isinstance(op, ConvTranspose2d) else 1

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, ConvTranspose2d):
            return super().made(op, source, inputs, in_shape, out_shape)
        return cls(source, inputs, op.output, in_shape, out_shape, op)

    @property
    def kind(self) -> str:
        return "transposed"

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        return self._needed(0, rows)

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return self._needed(1, columns)

    def _needed(self, axis: int, outputs: Rows) -> Rows:
        """Rows (axis 0) or columns (1) of the input."""
        (start, stop), stride, size = outputs, self.op.window.stride[axis], self.in_shape[2 + axis]
        cut_off = self.op.window.padding[axis]
        first = min(max(-(-(start + cut_off - self.op.window.kernel[axis] + 1) // stride), 0), size)
        return first, max(min((stop - 1 + cut_off) // stride + 1, size), first)

    @property
    def column_step(self) -> int:
        """So that all parts have the same convolutions in the same order, and their weights."""
        return self.op.window.stride[1]

    def narrowed_fields(self, columns: Columns) -> dict[str, Any]:
        """Input column y becomes y - first: what is cut off changes."""
        window, first = self.op.window, self._needed(1, columns)[0]
        top, left, bottom, right = window.padding
        padding = top, left + columns[0] - first * window.stride[1], bottom, right
        return {**super().narrowed_fields(columns), "op": replace(self.op, window=replace(window, padding=padding))}

    @property
    def replaceable(self) -> tuple[str, ...]:
        return ()

    def shapes(self, arch: Architecture) -> list[int]:
        return [rows for rows, _ in arch.shapes]

    def blocks(self, rows: int, arch: Architecture, depth: int = 0) -> list[Block]:
        del depth
        op = self.op
        outputs, depth = op.weight.shape[:2]
        per_group, found = outputs // op.groups, []
        weights = [op.weight_of(*kernels) for kernels in op.sub_convolutions()]
        for first, last, groups in channel_blocks(outputs, op.groups, rows):
            size, bias = last - first, biases(op.bias[first:last], op.cut, arch)
            lines = [weight[first:last].transpose(2, 3, 1, 0).reshape(-1, size) for weight in weights]
            in_c0, in_c, k = first // per_group * depth, groups * depth, op.weight[0].size
            packed = np.ascontiguousarray(np.concatenate(lines))
            found.append(Block(in_c0, in_c, groups, first, size, k, bias, None, packed))
        return found

    def _parts(self) -> Iterator[_Part]:
        position = 0
        for rows, columns in self.op.sub_convolutions():
            part = _Part(rows, columns, position)
            position += part.positions
            yield part

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """Of runs of rows that begin where the output does: others of as many rows may have more of one convolution's."""
        _, _, height, width = self.out_shape
        stride, depth = self.op.window.stride, self.op.weight.shape[1]
        total = 0
        for part in self._parts():
            columns, own = len(part.columns.outputs(0, width, stride[1])), Counter[int]()
            for outputs, count in tiles.items():
                images, rows = max(1, outputs // (height * width)), min(outputs // width, height)
                own[images * len(part.rows.outputs(0, rows, stride[0])) * columns] += count
            steps = max(part.positions * depth, 1)
            sizes = {size._replace(steps=steps): count for size, count in weights.sizes.items()}
            total += conv_cycles(sizes, weights.rows, own, durations)
        return total

    def settings(self, weights: Weights) -> list[Setting]:
        return [conv_setting(grouped, weights.rows) for grouped in weights.runs]

    def draft(self, work: Work, writer: Writer) -> None:
        for block in work.blocks:
            record = work.record(block)
            writer.configure(conv_setting(block.groups > 1, work.array_rows), self.source)
            for part in self._parts():
                geometry, window = self._geometry(part, work)
                if geometry.out_rows and geometry.out_width:
                    writer.append(self._draft(block, part, record, work.array_rows, geometry, window))

    def _geometry(self, part: _Part, work: Work) -> tuple[Geometry, Window]:
        """Of one convolution, for channel 0."""
        stride, height, width = self.op.window.stride, *self.in_shape[2:]
        outputs = part.rows.outputs(*work.rows, stride[0]), part.columns.outputs(0, self.out_shape[3], stride[1])
        rows, columns = part.rows.inputs(outputs[0], height), part.columns.inputs(outputs[1], width)
        seen = bool(part.positions and rows and columns)
        top = max(part.rows.before - outputs[0].start, 0)
        left = max(part.columns.before, 0)
        kernel = len(part.rows.taps), len(part.columns.taps)
        window = Window(kernel if seen else (1, 1), padding=(top, left, 0, 0) if seen else (0, 0, 0, 0))
        source = work.sources[0].at(row=rows.start - self.needed_rows(0, work.rows)[0])
        source = replace(source, offset=source.offset + columns.start * source.pixel)
        to, row = work.target, part.rows.first + outputs[0].start * stride[0] - work.rows[0]
        offset = to.offset + row * to.row + part.columns.first * to.pixel
        target = View(to.key, offset, to.pixel * stride[1], to.row * stride[0], to.image)
        sizes = (len(rows), len(columns)) if seen else (0, 0)
        counts = len(outputs[0]), len(outputs[1])
        return Geometry(source, target, work.images, *sizes, *counts, window.padding[0]), window

    def _draft(
        self, block: Block, part: _Part, record: Hashable, rows: int, geometry: Geometry, window: Window
    ) -> Draft:
        """What sees nothing is one step through padding, which leaves the bias."""
        depth, seen = self.op.weight.shape[1], geometry.in_rows > 0
        channels = block.in_c if seen else block.groups
        placed = replace(geometry, source=geometry.source.at(block.in_c0), target=geometry.target.at(block.out_c0))
        line = block.bias_bytes + (part.position * depth * block.out_c if seen else 0)
        steps = part.positions * depth if seen else 1
        values = {**conv_fields(block, rows, steps, self.op.cut), **placed.fields(window, channels)}
        weights = {"bias_addr": Place("sram", record, 0), "weight_addr": Place("sram", record, line)}
        reads = (*placed.reads(channels), Touch("sram", record, 0, block.bytes))
        return Draft("CONV", self.source, values, {**placed.places, **weights}, reads, placed.writes(block.out_c))
