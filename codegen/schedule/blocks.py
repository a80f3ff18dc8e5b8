"""Weights and biases in the order in which the array wants them.

Output channels are cut into blocks of at most as many as the array's shape has rows. A block is one record in DRAM: its biases
(int32, rounding half included), then one line of weights for each step k. A step whose weights are zero for the whole block is
dropped where that makes the record smaller: a bitmap behind the biases then says which steps are there. A dense layer's blocks
are as many outputs as there are PEs, and are cut along k as well, because they are larger than what is worth loading at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES, mask_bytes
from tvm_re2na.codegen.graph.ops import Cut, Int8Array, Int32Array
from tvm_re2na.codegen.schedule.units import ConvStep, DenseUnit

Bytes: TypeAlias = bytes | memoryview


@dataclass(frozen=True, eq=False)
class Block:
    """Output channels out_c0 .. out_c0 + out_c, computed from input channels in_c0 .. in_c0 + in_c in `groups` groups.

    `k` counts the products of one sum; `lines` (steps, out_c) int8 are the weights of those that are there, `mask` the bitmap
    of them (None: all are). `bias` is None in all parts of a dense block but the first.
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

    @property
    def steps(self) -> int:
        return len(self.lines)

    @property
    def bias_bytes(self) -> int:
        return 0 if self.bias is None else BIAS_BYTES * self.out_c

    @property
    def mask_bytes(self) -> int:
        return 0 if self.mask is None else len(self.mask)

    @property
    def bytes(self) -> int:
        return self.bias_bytes + self.mask_bytes + self.lines.size

    def record(self) -> list[Bytes]:
        """The block's bytes in DRAM, in parts: biases, bitmap, lines."""
        parts: list[Bytes] = []
        if self.bias is not None:
            parts.append(self.bias.astype("<i4").tobytes())
        if self.mask is not None:
            parts.append(self.mask.tobytes())
        if self.lines.size:
            parts.append(self.lines.data.cast("B"))
        return parts


def conv_blocks(conv: ConvStep, rows: int, arch: Architecture) -> list[Block]:
    """Blocks of a convolution for a shape of `rows` rows: whole groups share a block where several fit, large groups are cut."""
    outputs, depth = conv.weight.shape[:2]
    per_group = outputs // conv.groups
    at_once = max(1, min(conv.groups, rows // per_group))
    blocks = []
    for group in range(0, conv.groups, at_once):
        groups = min(at_once, conv.groups - group)
        first, last = group * per_group, (group + groups) * per_group
        for start in range(first, last, rows if groups == 1 else last - first):
            channels = slice(start, min(start + rows, last) if groups == 1 else last)
            weight = conv.weight[channels]
            lines = np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(-1, len(weight))
            bias = _bias(conv.bias[channels], conv.cut, arch)
            blocks.append(_block(group * depth, groups * depth, groups, start, bias, lines))
    return blocks


def dense_rows(unit: DenseUnit, arch: Architecture) -> int:
    """Outputs of a full block; a batch shares the PEs."""
    return max(1, min(len(unit.weight), arch.pe_count // unit.in_shape[0], 2**16 - 1))


def dense_blocks(unit: DenseUnit, chunk: int, arch: Architecture) -> list[list[Block]]:
    """Blocks of a dense layer, each as its parts of at most `chunk` steps."""
    size, outputs, inputs = dense_rows(unit, arch), len(unit.weight), unit.in_shape[1]
    blocks = []
    for start in range(0, outputs, size):
        lines = unit.lines(start, min(start + size, outputs))
        bias = _bias(unit.bias[start : start + size], unit.cut, arch)
        parts = [
            _block(k, min(chunk, inputs - k), 1, start, None if k else bias, lines[k : k + chunk])
            for k in range(0, inputs, chunk)
        ]
        blocks.append(parts)
    return blocks


def _bias(bias: Int32Array, cut: Cut, arch: Architecture) -> Int32Array:
    return (bias + arch.half(cut.lsb)).astype(np.int32)


def _block(in_c0: int, in_c: int, groups: int, out_c0: int, bias: Int32Array | None, lines: Int8Array) -> Block:
    k, out_c = lines.shape
    present = lines.any(axis=1)
    missing = k - int(np.count_nonzero(present))
    if missing * out_c <= mask_bytes(k):
        return Block(in_c0, in_c, groups, out_c0, out_c, k, bias, None, lines)
    mask = np.packbits(present, bitorder="little")
    return Block(in_c0, in_c, groups, out_c0, out_c, k, bias, mask, lines[present])
