"""What an operator asks of the memory on chip, whatever else happens."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import TABLE_BYTES, Architecture
from tvm_re2na.codegen.bytes import ALIGNMENT, BIAS_BYTES, LITTLE, MOST_PARKED, MOST_PARTS, SUM_BYTES, aligned
from tvm_re2na.codegen.graph.ops import four_axes
from tvm_re2na.codegen.offload.operator import EXTREMA, SELECTING, Operator


def sram_bytes(op: Operator, arch: Architecture) -> int:
    """Bytes that the most frugal way of working takes at most: every tensor in DRAM, one buffer each, nothing overlapping, as few
    pixels of the output at a time as there can be."""
    n, channels, height, width = four_axes(op.inputs[0].sizes)
    outputs, across = four_axes(op.output.sizes)[1], op.factors[1] if op.factors else 1
    slack = (len(op.inputs) + 2) * ALIGNMENT
    if op.kind == "dense":
        block = max(1, min(outputs, arch.pe_count // n))
        whole = n * (channels + outputs) + (BIAS_BYTES + 1) * block + slack
        return whole if n == 1 else min(whole, _as_convolution(n, channels, outputs, arch) + slack)
    if op.kind == "sub":
        return (len(op.inputs) + 2) * outputs + _inverting(outputs, arch) + slack
    if op.kind in EXTREMA:
        return 4 * channels + 2 * outputs + _inverting(2 * outputs, arch) + slack
    if op.kind == "mul":
        return 3 * outputs + BIAS_BYTES * min(arch.array_rows, outputs) + slack
    # of channels in another order: a convolution
    copied = (max(channels, outputs) + BIAS_BYTES) * min(arch.array_rows, max(channels, outputs))
    if op.kind == "pad":
        return channels + outputs + (outputs + copied if any(op.beyond) else 0) + slack
    if op.kind in ("concat", *SELECTING):
        return sum(four_axes(tensor.sizes)[1] for tensor in op.inputs) + 2 * outputs + copied + slack
    if op.kind == "depth_to_space":
        return 2 * (channels + across * outputs) + copied + slack
    if op.window is None:
        table = aligned(TABLE_BYTES) if op.kind == "lookup" else 0
        return len(op.inputs) * channels + 2 * across * outputs + table + slack
    seen = min(op.window.reach[0], height) * min(op.window.reach[1], width)
    if op.kind == "conv2d_transpose":
        (kernel_h, kernel_w), (stride_h, across) = op.window.kernel, op.window.stride
        seen = min(-(-kernel_h // stride_h), height) * min(-(-(kernel_w - 1) // across) + 1, width)
    if op.weight is None:
        return (seen + 1) * channels + slack
    tile = _Tile(seen, across)
    if op.groups > 1:
        return slack + _of_groups(op, op.weight, tile, arch)
    whole = _whole(op.weight, tile, arch)
    return slack + (whole if op.kind == "conv2d_transpose" else min(whole, _in_parts(op.weight, tile, arch)))


class _Tile(NamedTuple):
    """Pixels that are seen, and made."""

    inputs: int
    outputs: int


def _whole(weight: npt.NDArray[np.int8], tile: _Tile, arch: Architecture) -> int:
    """All channels of the input, and the weights of a block."""
    outputs, channels, *kernel = map(int, weight.shape)
    line = channels * math.prod(kernel) + BIAS_BYTES + arch.channel_cuts
    return tile.inputs * channels + (tile.outputs + line) * min(arch.array_rows, outputs)


def _in_parts(weight: npt.NDArray[np.int8], tile: _Tile, arch: Architecture) -> int:
    """The sums of a convolution in parts of the input's channels."""
    outputs, channels, *kernel = map(int, weight.shape)
    block, positions = min(arch.array_rows, outputs), math.prod(kernel)
    more = BIAS_BYTES + arch.channel_cuts
    if channels * positions > MOST_PARKED:
        return _whole(weight, tile, arch)
    part = (-(-channels // min(channels, MOST_PARTS)) * positions + more) * block
    part = max(part, min(arch.sram_bytes // LITTLE, (channels * positions + more) * block))
    sums = SUM_BYTES * tile.outputs * block + 2 * ALIGNMENT
    return tile.inputs * channels + tile.outputs * outputs + part + sums


def _as_convolution(images: int, channels: int, outputs: int, arch: Architecture) -> int:
    """A fully connected layer in parts of its inputs, all images at once."""
    block, depth = min(arch.array_rows, outputs), -(-channels // min(channels, MOST_PARTS))
    lines = (depth + BIAS_BYTES + arch.channel_cuts) * block
    lines = max(lines, min(arch.sram_bytes // LITTLE, (channels + BIAS_BYTES + arch.channel_cuts) * block))
    return images * (depth + (SUM_BYTES + 1) * block) + lines + 2 * ALIGNMENT


def _of_groups(op: Operator, weight: npt.NDArray[np.int8], tile: _Tile, arch: Architecture) -> int:
    """As many groups at once as a block has; of an input in DRAM, their channels alone."""
    depth, *kernel = map(int, weight.shape[1:])
    per_group = len(weight) // op.groups
    at_once = max(1, min(op.groups, arch.array_rows // per_group))
    block = min(arch.array_rows, at_once * per_group)
    weights = (depth * math.prod(kernel) + BIAS_BYTES + arch.channel_cuts) * block
    return tile.inputs * at_once * depth + tile.outputs * block + weights


def _inverting(channels: int, arch: Architecture) -> int:
    """Bytes of a weight and a bias for each channel of a block."""
    return (BIAS_BYTES + 1) * min(arch.array_rows, channels)
