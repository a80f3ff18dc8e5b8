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
    """Bytes that the most frugal way of working takes at most: every tensor in DRAM, one buffer each, nothing overlapping."""
    n, channels, height, width = four_axes(op.inputs[0].sizes)
    _, outputs, out_height, out_width = four_axes(op.output.sizes)
    slack = (len(op.inputs) + 2) * ALIGNMENT
    if op.kind == "dense":
        block = max(1, min(outputs, arch.pe_count // n))
        return n * (channels + outputs) + (BIAS_BYTES + 1) * block + slack
    if op.kind == "sub":
        return (len(op.inputs) * width + 2 * out_width) * outputs + _inverting(outputs, arch) + slack
    if op.kind in EXTREMA:
        return 4 * width * channels + 2 * out_width * outputs + _inverting(2 * outputs, arch) + slack
    if op.kind == "mul":
        return outputs * (2 * out_width + 1) + BIAS_BYTES * min(arch.array_rows, outputs) + slack
    # of channels in another order: a convolution
    copied = (max(channels, outputs) + BIAS_BYTES) * min(arch.array_rows, max(channels, outputs))
    if op.kind == "pad":
        padded = out_height * out_width * outputs
        return height * width * channels + padded + (padded + copied if any(op.beyond) else 0) + slack
    if op.kind in ("concat", *SELECTING):
        shapes = (four_axes(tensor.sizes) for tensor in op.inputs)
        return sum(shape[1] * shape[3] for shape in shapes) + 2 * out_width * outputs + copied + slack
    if op.kind == "depth_to_space":
        return 2 * (width * channels + out_width * outputs) + copied + slack
    if op.window is None:
        table = aligned(TABLE_BYTES) if op.kind == "lookup" else 0
        return len(op.inputs) * width * channels + 2 * out_width * outputs + table + slack
    top, _, bottom, _ = op.window.padding
    whole = max(top, bottom) >= op.window.reach[0]  # a row that sees padding only is computed with its whole image
    rows, out_rows = (height, out_height) if whole else (min(op.window.reach[0], height), 1)
    if op.kind == "conv2d_transpose":
        rows, out_rows = min(-(-op.window.kernel[0] // op.window.stride[0]), height), 1
    if op.weight is None:
        return (rows * width + out_rows * out_width) * channels + slack
    strip = _Strip(rows * width, out_rows * out_width)
    return slack + (_of_groups(op, op.weight, strip, arch) if op.groups > 1 else _in_parts(op.weight, strip, arch))


class _Strip(NamedTuple):
    """Pixels that are seen, and made."""

    inputs: int
    outputs: int


def _in_parts(weight: npt.NDArray[np.int8], strip: _Strip, arch: Architecture) -> int:
    """The sums of a convolution as a whole, or in parts of the input's channels, whichever takes less."""
    outputs, channels, *kernel = map(int, weight.shape)
    block, positions = min(arch.array_rows, outputs), math.prod(kernel)
    more = BIAS_BYTES + arch.channel_cuts
    source = strip.inputs * channels
    whole = source + strip.outputs * block + (channels * positions + more) * block
    if channels * positions > MOST_PARKED:
        return whole
    part = (-(-channels // min(channels, MOST_PARTS)) * positions + more) * block
    part = max(part, min(arch.sram_bytes // LITTLE, (channels * positions + more) * block))
    sums = SUM_BYTES * strip.outputs * block + 2 * ALIGNMENT
    return min(whole, source + strip.outputs * outputs + part + sums)


def _of_groups(op: Operator, weight: npt.NDArray[np.int8], strip: _Strip, arch: Architecture) -> int:
    """As many groups at once as a block has; of an input in DRAM, their channels alone."""
    depth, *kernel = map(int, weight.shape[1:])
    per_group = len(weight) // op.groups
    at_once = max(1, min(op.groups, arch.array_rows // per_group))
    block = min(arch.array_rows, at_once * per_group)
    weights = (depth * math.prod(kernel) + BIAS_BYTES + arch.channel_cuts) * block
    return strip.inputs * at_once * depth + strip.outputs * block + weights


def _inverting(channels: int, arch: Architecture) -> int:
    """Bytes of a weight and a bias for each channel of a block."""
    return (BIAS_BYTES + 1) * min(arch.array_rows, channels)
