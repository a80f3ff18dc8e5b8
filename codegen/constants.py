"""Stage `constants`: weights and biases in the order in which the array wants them.

A convolution's output channels are cut into blocks of at most one array's rows; a block is one record in DRAM: its biases
(int32, rounding half included), then one line of weights for each step k. Nothing is padded. A dense layer has one record per
block of as many outputs as there are PEs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.units import ConvStep, DenseUnit

BIAS_BYTES = 4


@dataclass(frozen=True)
class Block:
    """Output channels out_c0 .. out_c0 + out_c, computed from input channels in_c0 .. in_c0 + in_c in `groups` groups.

    `steps` is k, the products of one sum; `record` the DRAM bytes: out_c biases, then steps lines of out_c weights.
    """

    in_c0: int
    in_c: int
    groups: int
    out_c0: int
    out_c: int
    steps: int
    record: bytes

    @property
    def bytes(self) -> int:
        return len(self.record)

    @property
    def bias_bytes(self) -> int:
        return BIAS_BYTES * self.out_c


def conv_blocks(conv: ConvStep, arch: Architecture) -> list[Block]:
    """Blocks of a convolution: whole groups share a block where several fit the rows, large groups are cut."""
    outputs, depth = conv.weight.shape[:2]
    per_group = outputs // conv.groups
    at_once = max(1, min(conv.groups, arch.array_rows // per_group))
    blocks = []
    for group in range(0, conv.groups, at_once):
        groups = min(at_once, conv.groups - group)
        first, last = group * per_group, (group + groups) * per_group
        for start in range(first, last, arch.array_rows if groups == 1 else last - first):
            count = min(arch.array_rows, last - start) if groups == 1 else last - first
            rows = slice(start, start + count)
            lines = conv.weight[rows].transpose(2, 3, 1, 0).reshape(-1, count)
            record = _record(conv.bias[rows] + arch.half(conv.cut.lsb), lines)
            blocks.append(Block(group * depth, groups * depth, groups, start, count, len(lines), record))
    return blocks


def dense_blocks(unit: DenseUnit, arch: Architecture) -> list[Block]:
    """Blocks of a dense layer; a batch shares the PEs."""
    outputs, inputs = unit.weight.shape
    size = max(1, min(outputs, arch.pe_count // unit.in_shape[0], 2**16 - 1))
    blocks = []
    for start in range(0, outputs, size):
        rows = slice(start, min(start + size, outputs))
        lines = unit.weight[rows].T
        record = _record(unit.bias[rows] + arch.half(unit.cut.lsb), lines)
        blocks.append(Block(0, inputs, 1, start, lines.shape[1], inputs, record))
    return blocks


def _record(bias: np.ndarray, lines: np.ndarray) -> bytes:
    return bias.astype("<i4").tobytes() + np.ascontiguousarray(lines, np.int8).tobytes()
