"""Weights and biases in the order in which the array wants them.

Output channels are cut into blocks of at most as many as the array's shape has rows. A block is one record in DRAM: its biases
(int32, rounding half included), behind them the channels' LSBs where each has its own, then one line of weights for each step k. A
step whose weights are zero for the whole block is dropped where that makes the record smaller: a bitmap before the lines then says
which steps are there. A dense layer's blocks are as many outputs as there are PEs, and are cut along k as well, because they are
larger than what is worth loading at once.

Where the machine can decode weights, the lines of a unit's records have one code, and come in chunks; what stands before them is
not coded.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import MAGNITUDES, Architecture, WeightCoding
from tvm_re2na.codegen.bytes import BIAS_BYTES, aligned, mask_bytes
from tvm_re2na.codegen.coding.stream import Chunk, Coder
from tvm_re2na.codegen.coding.words import Counts, magnitudes
from tvm_re2na.codegen.graph.ops import Cut, Int8Array, Int32Array

Bytes: TypeAlias = bytes | memoryview


class BlockSize(NamedTuple):
    """What the cycles of a block depend on."""

    out_c: int
    groups: int
    steps: int
    begins: bool = True
    ends: bool = True


@dataclass(frozen=True, eq=False)
class Block:
    """Output channels out_c0 .. out_c0 + out_c, computed from input channels in_c0 .. in_c0 + in_c in `groups` groups.

    `k` counts the products of one sum; `lines` (steps, out_c) int8 are the weights of those that are there, `mask` the bitmap
    of them (None: all are). Sums may be formed in parts: `bias` is None in all of them but the first, `ends` says whether it is the
    last. `lsbs` are the channels', if they differ, in a part that ends. `coder` codes the record (None: nobody does).
    """

    in_c0: int
    in_c: int
    groups: int
    out_c0: int
    out_c: int
    k: int
    bias: Int32Array | None
    mask: npt.NDArray[np.uint8] | None
    lines: Int8Array
    lsbs: bytes = b""
    ends: bool = True
    coder: Coder | None = None

    @property
    def begins(self) -> bool:
        return self.bias is not None

    @property
    def steps(self) -> int:
        return len(self.lines)

    @property
    def bias_bytes(self) -> int:
        """With the LSBs behind them."""
        return BIAS_BYTES * self.out_c * self.begins + len(self.lsbs)

    @property
    def mask_bytes(self) -> int:
        return 0 if self.mask is None else len(self.mask)

    @cached_property
    def bytes(self) -> int:
        return self.bias_bytes + self.mask_bytes + self.lines.size

    @cached_property
    def magnitudes(self) -> Counts:
        """Of its weights."""
        return magnitudes(self.lines.view(np.uint8))

    @cached_property
    def bus_bytes(self) -> int:
        """About how many bytes the bus could move while the record is loaded."""
        return self.coder.bus_bytes(self.bytes - self.lines.size, self.magnitudes) if self.coder else self.bytes

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """Of the coded record; none where it is not coded."""
        if self.coder is None or not self.lines.size:
            return ()
        return self.coder.record(b"".join(self._plain_record()), self.bytes - self.lines.size, self.out_c)

    @property
    def dram_bytes(self) -> int:
        """That the record has in DRAM."""
        return self.chunks[-1].offset + len(self.chunks[-1].coded) if self.chunks else self.bytes

    def record(self) -> list[Bytes]:
        """The block's bytes in DRAM, in parts."""
        return [chunk.coded for chunk in self.chunks] or self._plain_record()

    def _plain_record(self) -> list[Bytes]:
        """Biases with LSBs, bitmap, lines."""
        parts: list[Bytes] = []
        if self.bias_bytes:
            parts.append((b"" if self.bias is None else self.bias.astype("<i4").tobytes()) + self.lsbs)
        if self.mask is not None:
            parts.append(self.mask.tobytes())
        if self.lines.size:
            parts.append(self.lines.data.cast("B"))
        return parts


def with_coder(blocks: Iterable[Block], arch: Architecture) -> tuple[Block, ...]:
    """All blocks of a unit, with one code for their weights."""
    found = tuple(blocks)
    if arch.weight_coding is WeightCoding.NONE:
        return found
    counts = sum((block.magnitudes for block in found), np.zeros(MAGNITUDES, np.int64))
    coder = Coder.of(arch, counts)
    return tuple(replace(block, coder=coder) for block in found)


class Slices:
    """Blocks in a row, some at a time. Of each slice: `inputs`, the channels that it reads; `outputs`, those whose sums it ends
    (first, behind the last), and how many slices before it end some (`results`, in the end how many do at all)."""

    def __init__(self, blocks: tuple[Block, ...], count: int) -> None:
        self.parts = [blocks[start : start + count] for start in range(0, len(blocks), count)]
        self.inputs = [
            (min(block.in_c0 for block in part), max(block.in_c0 + block.in_c for block in part)) for part in self.parts
        ]
        self.outputs = [
            (part[0].out_c0, part[-1].out_c0 + (part[-1].out_c if part[-1].ends else 0)) for part in self.parts
        ]
        self.results = list(itertools.accumulate((part[-1].ends for part in self.parts), initial=0))
        self.largest = max((sum(aligned(block.bytes) for block in part) for part in self.parts), default=0)
        self.widths = [[stop - start for start, stop in found] for found in (self.inputs, self.outputs)]


@dataclass(frozen=True, eq=False)
class Weights:
    """The blocks of a unit for one shape of the array. `depth`: input channels of a part of their sums (0: all)."""

    rows: int
    blocks: tuple[Block, ...]
    depth: int = 0

    @cached_property
    def bytes(self) -> int:
        return sum(block.bytes for block in self.blocks)

    @cached_property
    def bus_bytes(self) -> int:
        return sum(block.bus_bytes for block in self.blocks)

    @cached_property
    def largest(self) -> int:
        return max((block.bytes for block in self.blocks), default=0)

    @cached_property
    def _slices(self) -> dict[int, Slices]:
        return {}

    def slices(self, count: int) -> Slices:
        """So many blocks at a time."""
        if count not in self._slices:
            self._slices[count] = Slices(self.blocks, count)
        return self._slices[count]

    @cached_property
    def aligned_bytes(self) -> int:
        """Each block at an address of its own."""
        return sum(aligned(block.bytes) for block in self.blocks)

    @cached_property
    def runs(self) -> list[bool]:
        """Of blocks in a row that are alike: whether they hold several groups."""
        return [grouped for grouped, _ in itertools.groupby(block.groups > 1 for block in self.blocks)]

    @cached_property
    def sizes(self) -> Counter[BlockSize]:
        """How many blocks there are of each size."""
        return Counter(
            BlockSize(block.out_c, block.groups, block.steps, block.begins, block.ends) for block in self.blocks
        )


def biases(bias: Int32Array, cut: Cut, arch: Architecture) -> Int32Array:
    """With the half added that the machine rounds by."""
    return (bias + cut.halves(arch)).astype(np.int32)


def pack(in_c0: int, in_c: int, groups: int, out_c0: int, bias: Int32Array | None, lines: Int8Array) -> Block:
    """Lines (k, out_c) as a block, without those that are zero where that makes it smaller."""
    k, out_c = lines.shape
    present = lines.any(axis=1)
    missing = k - int(np.count_nonzero(present))
    if missing * out_c <= mask_bytes(k):
        return Block(in_c0, in_c, groups, out_c0, out_c, k, bias, None, lines)
    mask = np.packbits(present, bitorder="little")
    return Block(in_c0, in_c, groups, out_c0, out_c, k, bias, mask, lines[present])
