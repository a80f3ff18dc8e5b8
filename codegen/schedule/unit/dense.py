"""A fully connected layer: each PE an output, the sum in as many parts as the weights are loaded in."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES, aligned
from tvm_re2na.codegen.emit.draft import Draft, Touch
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Cut, Int8Array, Int32Array
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.schedule.unit.base import Tiles, Unit, Work, record_places
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights, biases, pack

PART_BYTES = 128 * 1024  # of weights: a transfer that hides the latency of the next one
LEAST_BYTES = 64 * 1024  # smaller parts of a large layer are more instructions for nothing
MOST_HALVINGS = 4  # of a small layer's sums: its weights are there long before all of a large part's
TRANSPOSED_AT_ONCE = 64  # outputs: a stripe of weights that the processor's caches hold


@dataclass(frozen=True, eq=False)
class DenseUnit(Unit):
    """weight (O, C); the elements of the stored input are (channels, pixels) in the order of C."""

    weight: Int8Array
    bias: Int32Array
    cut: Cut
    pixels: int = 1

    @property
    def joins_cascades(self) -> bool:
        return False

    @property
    def kind(self) -> str:
        return "dense"

    def outputs_at_once(self, arch: Architecture) -> int:
        """Outputs of a full block; a batch shares the PEs."""
        return max(1, min(len(self.weight), arch.pe_count // self.in_shape[0], limits_of(arch, "DENSE", "out_c")[1]))

    def part_steps(self, arch: Architecture) -> list[int]:
        rows = self.outputs_at_once(arch)
        steps = [max(1, min(self.in_shape[1], PART_BYTES // rows))]
        least = min(LEAST_BYTES, self.weight.size >> MOST_HALVINGS)
        while steps[-1] // 2 * rows >= least and steps[-1] > 1:
            steps.append(-(-steps[-1] // 2))
        return steps

    def parts_of_sums(self, steps: int, arch: Architecture) -> int:
        return -(-self.in_shape[1] // steps) * -(-len(self.weight) // self.outputs_at_once(arch))

    def part_bytes(self, steps: int, arch: Architecture) -> int:
        return (steps + BIAS_BYTES) * self.outputs_at_once(arch)

    def least_bytes(self, arch: Architecture) -> int:
        """Of SRAM, with a step at a time."""
        ends = aligned(math.prod(self.in_shape)) + aligned(math.prod(self.out_shape))
        return ends + aligned(self.part_bytes(1, arch))

    @property
    def streamed_bytes(self) -> int:
        """Weights and biases, all steps counted."""
        return int(self.weight.size) + BIAS_BYTES * len(self.weight)

    def records(self, weights: Weights, steps: int, arch: Architecture) -> list[Block]:
        """Each block in parts; the first part of each has the biases."""
        size, outputs, inputs = self.outputs_at_once(arch), len(self.weight), self.in_shape[1]
        found = []
        for start in range(0, outputs, size):
            lines = self._lines(start, min(start + size, outputs))
            bias = biases(self.bias[start : start + size], self.cut, arch)
            for k in range(0, inputs, steps):
                part = min(steps, inputs - k)
                found.append(pack(k, part, 1, start, None if k else bias, lines[k : k + steps]))
        return found

    def _lines(self, first: int, last: int) -> Int8Array:
        """(k, outputs first..last) weights in the order of the stored input's bytes, which lies channels-last."""
        lines = np.empty((self.weight.shape[1], last - first), np.int8)
        for start in range(first, last, TRANSPOSED_AT_ONCE):
            stop = min(start + TRANSPOSED_AT_ONCE, last)
            lines[:, start - first : stop - first] = self.weight[start:stop].T
        if self.pixels == 1:
            return lines
        return lines.reshape(-1, self.pixels, last - first).transpose(1, 0, 2).reshape(lines.shape)

    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """No step dropped."""
        outputs, inputs, size = len(self.weight), self.in_shape[1], self.outputs_at_once(durations.arch)
        whole, rest = divmod(inputs - 1, steps)  # parts before the last, and one step less than that has
        total = 0
        for out_c, blocks in ((size, outputs // size), (outputs % size, 1)):
            if out_c:
                fields = {"n": self.in_shape[0], "out_c": out_c}
                total += blocks * whole * durations.cycles("DENSE", steps=steps, last=0, **fields)
                total += blocks * durations.cycles("DENSE", steps=rest + 1, last=1, **fields)
        return total

    def settings(self, weights: Weights) -> list[Setting]:
        return [(Mode.DENSE, weights.rows)]

    def draft(self, work: Work, writer: Writer) -> None:
        """`work.blocks` are all parts, in order; `work` is the whole input and output."""
        for block, behind in zip(work.blocks, [*work.blocks[1:], None], strict=True):
            record = work.record(block)
            writer.configure((Mode.DENSE, work.array_rows), self.source)
            writer.append(self._draft(block, behind is None or behind.bias is not None, record, work))

    def _draft(self, block: Block, last: bool, record: Hashable, work: Work) -> Draft:
        source, target, batch = work.sources[0], work.target, self.in_shape[0]
        values = {
            "n": batch,
            "in_c": block.in_c,
            "out_c": block.out_c,
            "steps": block.steps,
            "in_image_stride": source.image,
            "out_image_stride": target.image,
            "first": int(block.bias is not None),
            "last": int(last),
            "lsb": self.cut.lsb,
            "lo": self.cut.lo,
            "hi": self.cut.hi,
        }
        source, target = source.at(block.in_c0), target.at(block.out_c0)
        places = {"in_addr": source.place, "out_addr": target.place, **record_places(block, record)}
        reads = (source.touch(batch, 1, 1, block.in_c), Touch("sram", record, 0, block.bytes))
        writes = (target.touch(batch, 1, 1, block.out_c),) if last else ()
        return Draft("DENSE", self.source, values, places, reads, writes)
