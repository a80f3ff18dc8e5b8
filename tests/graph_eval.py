"""A third opinion: what an accelerator graph means, in int64 NumPy, from the design's formulas and nothing else in the project."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.graph.channels import Concat, PartsMax, ScaleChannels, Select
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import (
    Add,
    Clip,
    Conv2d,
    Cut,
    Dense,
    Lookup,
    MaxPool2d,
    Op,
    Reshape,
    Window,
)
from tvm_re2na.codegen.graph.pixels import ConcatPixels, DepthToSpace2d, Pad, Upsample2d
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d

Array = npt.NDArray[np.int64]
WIDE = Architecture(acc_bits=32)


def evaluate(graph: Graph, inputs: list[npt.NDArray[np.int8]], arch: Architecture) -> list[npt.NDArray[np.int8]]:
    """The outputs for int8 inputs in the order of `graph.inputs`; `WIDE` has accumulators that nothing overflows."""
    values: dict[str, Array] = {name: x.astype(np.int64) for name, x in zip(graph.inputs, inputs, strict=True)}
    for op in graph.ops:
        values[op.output] = _evaluate(op, [values[name] for name in op.inputs], arch)
    return [values[name].astype(np.int8) for name in graph.outputs]


def _evaluate(op: Op, args: list[Array], arch: Architecture) -> Array:
    if isinstance(op, Conv2d):
        columns = _windows(args[0], op.window, 0)
        parts = np.split(columns, op.groups, axis=1)
        weights = np.split(op.weight.astype(np.int64), op.groups)
        sums = [np.einsum("nchwyx,ocyx->nohw", part, weight) for part, weight in zip(parts, weights, strict=True)]
        return _cut(np.concatenate(sums, 1) + op.bias.reshape(1, -1, 1, 1), op.cut, arch)
    if isinstance(op, ConvTranspose2d):
        return _cut(_transposed(op, args[0]) + op.bias.reshape(1, -1, 1, 1), op.cut, arch)
    if isinstance(op, Dense):
        return _cut(args[0] @ op.weight.T.astype(np.int64) + op.bias, op.cut, arch)
    if isinstance(op, MaxPool2d):
        return np.clip(_windows(args[0], op.window, -128).max((4, 5)), op.lo, op.hi)
    if isinstance(op, Upsample2d):
        return np.clip(args[0].repeat(op.factors[0], 2).repeat(op.factors[1], 3), op.lo, op.hi)
    if isinstance(op, Add):
        shifted = [(x + arch.half(s)) >> s for x, s in zip(args, op.shifts, strict=True)]
        return _fit(shifted[0] + shifted[1], op.lo, op.hi, arch)
    if isinstance(op, ScaleChannels):
        factors = args[1].reshape(*args[0].shape[:2], *[1] * (args[0].ndim - 2))
        return _cut(args[0] * factors + op.start, op.cut, arch)
    if isinstance(op, Clip):
        return np.clip(args[0], op.lo, op.hi)
    if isinstance(op, Lookup):
        return op.table[args[0]].astype(np.int64)  # an entry below 0 is counted from the end
    if isinstance(op, Pad):
        top, left, bottom, right = (max(width, 0) for width in op.padding)
        whole = np.pad(args[0], ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=op.value)
        first, last = ([max(-width, 0) for width in widths] for widths in (op.padding[:2], op.padding[2:]))
        kept = [slice(a, size - b, s) for a, b, s, size in zip(first, last, op.stride, whole.shape[2:], strict=True)]
        return whole[:, :, kept[0], kept[1]]
    if isinstance(op, DepthToSpace2d):
        batch, channels, height, width = args[0].shape
        down, across = op.factors
        block = args[0].reshape(batch, down, across, channels // (down * across), height, width)
        return np.clip(
            block.transpose(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * down, width * across), op.lo, op.hi
        )
    if isinstance(op, Reshape):
        return args[0].reshape(op.shape)
    if isinstance(op, ConcatPixels):
        return np.concatenate(args, 2 + op.axis)
    if isinstance(op, Concat):
        return np.concatenate(args, 1)
    if isinstance(op, PartsMax):
        return np.clip(np.max(np.split(args[0], op.parts, 1), 0), op.lo, op.hi)
    if isinstance(op, Select):
        return args[0][:, op.channels]
    raise TypeError(op.kind)


def _transposed(op: ConvTranspose2d, x: Array) -> Array:
    """Every input spreads its products over the output, whose edges are cut off at the end."""
    batch, _, height, width = x.shape
    outputs, depth, *kernel = op.weight.shape
    rows, columns = op.window.stride
    top, left, bottom, right = op.window.padding
    size = [(height - 1) * rows + kernel[0] + op.more[0], (width - 1) * columns + kernel[1] + op.more[1]]
    whole = np.zeros((batch, outputs, *size), np.int64)
    for o in range(outputs):
        first = o // (outputs // op.groups) * depth
        for c, y, z in np.ndindex(depth, *kernel):
            spread = whole[:, o, y : y + height * rows : rows, z : z + width * columns : columns]
            spread[:, :height, :width] += x[:, first + c] * int(op.weight[o, c, y, z])
    return whole[:, :, top : size[0] - bottom, left : size[1] - right]


def _windows(x: Array, window: Window, fill: int) -> Array:
    top, left, bottom, right = window.padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, window.reach, axis=(2, 3))
    return view[:, :, :: window.stride[0], :: window.stride[1], :: window.dilation[0], :: window.dilation[1]]


def _cut(sums: Array, cut: Cut, arch: Architecture) -> Array:
    lsb = np.array(cut.lsbs or (cut.lsb,)).reshape(1, -1, *[1] * (sums.ndim - 2))
    half = (1 << lsb) // 2 * (arch.rounding is Rounding.HALF_UP)
    return _fit(_wrap(sums + half, arch.acc_bits) >> lsb, cut.lo, cut.hi, arch)


def _fit(values: Array, lo: int, hi: int, arch: Architecture) -> Array:
    if arch.cut_overflow is CutOverflow.WRAP:
        values = _wrap(values, arch.data_bits)
    return np.clip(np.clip(values, arch.data_min, arch.data_max), lo, hi)


def _wrap(values: Array, bits: int) -> Array:
    span = 1 << bits
    return (values + span // 2) % span - span // 2
