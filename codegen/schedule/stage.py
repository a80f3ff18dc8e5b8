"""A stage: a run of consecutive units and the way in which they work together.

whole          one unit, all of its output at once, one block of weights after the other (weights are loaded once), or one part of
               a block's sums after the other;
weights outer  one unit, strips of its output for each slice of weights: what comes from DRAM is loaded once a slice, or of it the
               channels that the slice reads;
strips outer   one or more units (a cascade), strip by strip: tensors between them never exist as a whole, and an output that
               stays on chip may move into the rows of the input that are no longer needed. The weights stay (pinned), or
               those of one unit are streamed again for each strip, slice by slice; what comes from DRAM is loaded once a strip,
               or for each slice the channels that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.schedule.strips import Cascade, Strip
from tvm_re2na.codegen.schedule.unit.base import Rows
from tvm_re2na.codegen.schedule.unit.blocks import Slices, Weights


@dataclass(frozen=True)
class Sides:
    """What lies beside some units: of the tensors that they touch, those in SRAM, and those of them that are loaded as a whole when
    the units begin. All others come and go through DRAM, strip by strip."""

    resident: frozenset[str]
    fetched: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Stage:
    """Units first .. last and how they work. `weights`: the chosen shape's blocks of each unit; `slices`: blocks at a time."""

    first: int
    last: int
    cascade: Cascade
    weights: tuple[Weights, ...]
    sides: Sides
    strips_outer: bool = False
    pinned: bool = False
    sliced: bool = False  # of streamed inputs each slice of the blocks loads the channels that it reads
    keeps: bool = (
        False  # rows of streamed inputs that the next strip needs as well move on chip; otherwise they are loaded again
    )
    overlap: bool = True  # buffers in turn, so that transfers hide behind compute
    lean: bool = False  # of weights alone; rows that come and go have one buffer each
    slices: int = 1
    chunk: int = 0  # steps of a dense layer's sum at a time, or input rows of a copy
    bytes: int = 0  # SRAM beside the tensors that live on, less what input and output share
    shared: int = 0  # bytes that input and output share
    cost: int = 0  # cycles, but for waiting for its first load and switching the array to it
    compute: int = 0  # cycles on the array

    @cached_property
    def strips(self) -> list[Strip]:
        return [work.strip for work in self.cascade.work]

    @cached_property
    def settings(self) -> list[Setting]:
        """What the array is set to in a strip, one after the other."""
        pairs = zip(self.cascade.units, self.weights, strict=True)
        return [setting for unit, weights in pairs for setting in unit.settings(weights)]

    @property
    def begins(self) -> Setting | None:
        return self.settings[0] if self.settings else None

    @property
    def ends(self) -> Setting | None:
        return self.settings[-1] if self.settings else None

    @property
    def blocks(self) -> Slices:
        """Of a stage of one unit, those of each slice together."""
        return self.weights[0].slices(self.slices)

    @property
    def output(self) -> str:
        return self.cascade.units[-1].output

    @cached_property
    def touched(self) -> frozenset[str]:
        """Tensors that it reads or makes, but for those between its units."""
        names = {name for unit in self.cascade.units for name in (*unit.inputs, unit.output)}
        return frozenset(names - self.cascade.inner.keys())

    @property
    def streamed(self) -> list[str]:
        """Inputs that come from DRAM strip by strip."""
        names = dict.fromkeys(name for unit in self.cascade.units for name in unit.inputs)
        return [name for name in names if name not in self.sides.resident and name not in self.cascade.inner]

    def read_channels(self, name: str, turn: int) -> tuple[int, int]:
        """Of a streamed input, the first channel that slice `turn` reads, and the one behind the last."""
        if not self.sliced:
            return self.cascade.channels[name]
        unit = self.cascade.units[0]
        operand = unit.inputs.index(name)
        first, last = (self.blocks.outputs if operand else self.blocks.inputs)[turn]
        start = unit.part(operand).first
        return start + first, start + last

    def slice_widths(self, name: str) -> list[int]:
        """Channels of an input that each slice of the blocks reads."""
        return self.blocks.widths[min(1, self.cascade.units[0].inputs.index(name))]

    def read_widths(self, name: str) -> list[int]:
        """Channels of a streamed input that are loaded together, each time that rows of it are."""
        if self.sliced:
            return self.slice_widths(name)
        first, last = self.cascade.channels[name]
        return [last - first] * self.rounds

    @property
    def weight_turns(self) -> int:
        """Buffers in turn for weights that do not stay."""
        return 2 if self.overlap else 1

    @property
    def row_turns(self) -> int:
        """Buffers in turn for rows on their way in or out."""
        return 2 if self.overlap and not self.lean else 1

    @property
    def passes(self) -> int:
        """How often a strip is gone through, each time for a slice of the blocks."""
        return 1 if self.strips_outer and self.pinned else max(1, len(self.blocks.parts))

    @property
    def rounds(self) -> int:
        """How often rows of a streamed input are loaded: the only strip, or the outer loop's, stays for all blocks."""
        again = self.sliced or (len(self.cascade.work) > 1 and not self.strips_outer)
        return self.passes if again else 1

    @property
    def results(self) -> list[int]:
        """For each slice, how many slices before it have made results: parts of sums make none. In the end, how many do at all."""
        return self.blocks.results if self.passes > 1 else [0, 1]

    def turn(self, strip: int, number: int, count: int) -> int:
        """Of what each strip has `count` of, how many came before number `number` of a strip."""
        return strip * count + number if self.strips_outer else number * len(self.cascade.work) + strip

    def moved_rows(self, strip: int) -> dict[str, Rows]:
        """Rows that move within the SRAM before a strip: up in the buffer of an inner tensor, or on into the next strip's."""
        kept = {name: self.cascade.copies(strip, name) for name in self.streamed} if self.keeps else {}
        return self.cascade.moves[strip] | {name: rows for name, rows in kept.items() if rows[0] < rows[1]}

    def loaded_rows(self, strip: int, name: str) -> int:
        """Of a streamed input, all images of the strip together."""
        work = self.cascade.work[strip]
        first, last = work.windows.get(name, (0, 0))
        if self.keeps:
            first = max(first, self.cascade.copies(strip, name)[1])
        return (last - first) * work.strip.images

    def __str__(self) -> str:
        way = "strips outer" if self.strips_outer else "weights outer" if len(self.strips) > 1 else "whole"
        shapes = "/".join(str(weights.rows) for weights in self.weights if weights.blocks) or "-"
        names = " + ".join(unit.output for unit in self.cascade.units)
        pinned = ", pinned weights" if self.pinned else ""
        return f"{names}: {way}, {len(self.strips)} strips, rows {shapes}{pinned}, {self.bytes} bytes"
