"""A function of single numbers: each byte replaced by its entry of a table."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Place, Touch
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Int8Array, Lookup, Op, Shape4
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Tiles, Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights


@dataclass(frozen=True, eq=False)
class LookupUnit(Unit, of=(Lookup,)):
    """The table is one block of weights: it is placed, loaded and kept as those are."""

    table: Int8Array

    by_channel = True
    codable = False

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        if not isinstance(op, Lookup):
            return super().made(op, source, inputs, in_shape, out_shape)
        return cls(source, inputs, op.output, in_shape, out_shape, op.table)

    @property
    def kind(self) -> str:
        return "lookup"

    def shapes(self, arch: Architecture) -> list[int]:
        return [arch.array_rows]

    def blocks(self, rows: int, arch: Architecture, depth: int = 0) -> list[Block]:
        del depth
        del rows, arch
        channels = self.out_shape[1]
        return [Block(0, channels, 1, 0, channels, 1, None, None, self.table.reshape(1, -1))]

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        fields = {"n": 1, "out_h": 1, "in_c": self.out_shape[1]}
        return sum(
            strips * durations.cycles("LOOKUP", out_w=outputs, **fields) for outputs, strips in tiles.items() if outputs
        )

    def settings(self, weights: Weights) -> list[Setting]:
        """Any will do."""
        return []

    def draft(self, work: Work, writer: Writer) -> None:
        source, target = work.sources[0], work.target
        (block,) = work.blocks
        record = work.record(block)
        _, channels, _, width = self.out_shape
        values = {"n": work.images, "in_c": channels, "out_h": work.rows[1] - work.rows[0], "out_w": width}
        for side, view in (("in", source), ("out", target)):
            strides = {"pixel": view.pixel, "row": view.row, "image": view.image}
            values |= {f"{side}_{what}_stride": stride for what, stride in strides.items()}
        places = {"in_addr": source.place, "out_addr": target.place, "table_addr": Place("sram", record, 0)}
        size = (work.images, values["out_h"], width, channels)
        reads = (source.touch(*size), Touch("sram", record, 0, block.bytes))
        writer.append(Draft("LOOKUP", self.source, values, places, reads, (target.touch(*size),)))
