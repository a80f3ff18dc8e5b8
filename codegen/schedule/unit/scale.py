"""A product by one factor for each channel: a depthwise convolution of 1 x 1 whose weights the program has computed.

A line of such weights has one byte for each channel, in their order: stored channels-last, the factors of an image are that line.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Place, Touch
from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.channels import ScaleChannels
from tvm_re2na.codegen.graph.ops import Cut, Op, Shape4
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Columns, Rows, Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights, biases
from tvm_re2na.codegen.schedule.unit.conv import conv_cycles, conv_fields, conv_setting
from tvm_re2na.codegen.schedule.unit.pool import PIXEL


@dataclass(frozen=True, eq=False)
class ScaleUnit(Unit, of=(ScaleChannels,)):
    """inputs[1], the factors, is (N, C, 1, 1). A block is loaded for its biases alone; each image has an instruction of its own."""

    cut: Cut
    start: int

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, ScaleChannels):
            return super().made(op, source, inputs, in_shape, out_shape)
        return cls(source, inputs, op.output, in_shape, out_shape, op.cut, op.start)

    @property
    def kind(self) -> str:
        return "scale"

    def operand_shape(self, operand: int) -> Shape4:
        batch, channels, _, _ = self.in_shape
        return (batch, channels, 1, 1) if operand else self.in_shape

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        return (0, 1) if operand else rows

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        return (0, 1) if operand else columns

    @property
    def replaceable(self) -> tuple[str, ...]:
        return self.inputs[:1]  # the factors are read for every row

    def shapes(self, arch: Architecture) -> list[int]:
        return [rows for rows, _ in arch.shapes]

    def blocks(self, rows: int, arch: Architecture, depth: int = 0) -> list[Block]:
        del depth
        channels = self.in_shape[1]
        found = []
        for first, last, groups in channel_blocks(channels, channels, rows):
            size = last - first
            bias = biases(np.full(size, self.start, np.int32), self.cut, arch)
            found.append(Block(first, size, groups, first, size, 1, bias, None, np.empty((0, size), np.int8)))
        return found

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """One instruction for each image; a tile of more than one has them whole."""
        _, _, height, width = self.out_shape
        of_images: Counter[int] = Counter()
        for outputs, count in tiles.items():
            images = max(1, outputs // (height * width))
            of_images[outputs // images] += count * images
        sizes = Counter({size._replace(steps=1): count for size, count in weights.sizes.items()})
        return conv_cycles(sizes, weights.rows, of_images, durations)

    def settings(self, weights: Weights) -> list[Setting]:
        return [conv_setting(grouped, weights.rows) for grouped in weights.runs]

    def draft(self, work: Work, writer: Writer) -> None:
        whole = replace(self.geometry(PIXEL, work), images=1)
        for block in work.blocks:
            writer.configure(conv_setting(block.groups > 1, work.array_rows), self.source)
            for image in range(work.images):
                views = (*work.sources, work.target)
                x, factors, y = (replace(v, offset=v.offset + image * v.image + block.out_c0) for v in views)
                geometry = replace(whole, source=x, target=y)
                writer.append(self._draft(block, work, geometry, factors))

    def _draft(self, block: Block, work: Work, geometry: Geometry, factors: View) -> Draft:
        record, channels = work.record(block), block.out_c
        values = {
            **conv_fields(block, work.array_rows, 1, self.cut),
            **geometry.fields(PIXEL, channels),
        }
        places = {**geometry.places, "bias_addr": Place("sram", record, 0), "weight_addr": factors.place}
        reads = (
            *geometry.reads(channels),
            factors.touch(1, 1, 1, channels),
            Touch("sram", record, 0, block.bytes),
        )
        return Draft("CONV", self.source, values, places, reads, geometry.writes(channels))
