"""The TIR function of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import IRBuilder

from tvm_re2na.kernels.convolution import ConvolutionKernel
from tvm_re2na.kernels.dialect import NOALIAS, T, bind, scratch, tir
from tvm_re2na.kernels.instructions import Expr, pair
from tvm_re2na.kernels.scaling import FIELDS, OPAQUE, narrowing

Buffer = Any


@dataclass(frozen=True)
class _ConvolutionBuffers:
    data: Buffer
    weights: Buffer
    biases: Buffer
    table: Buffer
    numbers: Buffer
    result: Buffer
    pairs: Buffer
    lines: Buffer


def convolution_function(conv: ConvolutionKernel) -> tir.PrimFunc:
    """Data, weights (`packed`), biases (`biases`), `table` and `Scaling.numbers` -> result; constants are flat."""
    channels = conv.blocks * conv.tile.channels
    with IRBuilder() as builder, T.prim_func(is_private=True):
        T.func_attr({"op_pattern": OPAQUE, NOALIAS: True})
        arguments = {
            "data": (conv.data, conv.data_dtype),
            "weights": ((conv.groups * channels * conv.steps,), "int32"),
            "biases": ((conv.groups * channels,), "int32"),
            "table": ((conv.steps,), "int32"),
            "numbers": ((len(FIELDS),), "int32"),
            "result": (conv.result, conv.result_dtype),
        }
        given = {name: T.arg(name, T.buffer(*of)) for name, of in arguments.items()}
        pairs = scratch((conv.size,), "int32")
        lines = scratch((channels * conv.line,), conv.result_dtype)
        buffers = _ConvolutionBuffers(**given, pairs=pairs, lines=lines)
        with T.serial(0, conv.data[0]) as image, T.serial(0, conv.groups) as group:
            _fill(conv, buffers, image, group)
            _multiply(conv, buffers, group)
            _collect(conv, buffers, image, group)
    return builder.get()


def _fill(conv: ConvolutionKernel, buffers: _ConvolutionBuffers, image: Expr, group: Expr) -> None:
    """Data to pairs of channels, minus the zero point, with zeros around it."""
    zero = buffers.numbers[FIELDS.index("data_zero")]
    if any(
        span != (0, size) for spans in conv.inside for span, size in zip(spans, (conv.rows, conv.pitch), strict=True)
    ):
        with T.serial(0, conv.pairs * len(conv.phases) * conv.plane) as at:
            T.buffer_store(buffers.pairs, tir.const(0, "int32"), [at])
    with T.serial(0, conv.pairs) as two:
        first = group * conv.channels + two * 2
        second = group * conv.channels + tir.min(two * 2 + 1, tir.const(conv.channels - 1, "int32"))
        for index, (phase, (rows, columns)) in enumerate(zip(conv.phases, conv.inside, strict=True)):
            base = (two * len(conv.phases) + index) * conv.plane + rows[0] * conv.pitch + columns[0]
            top, left = (
                span[0] * stride + offset - padding
                for span, stride, offset, padding in zip(
                    (rows, columns), conv.window.stride, phase, conv.window.padding, strict=False
                )
            )
            with T.serial(0, rows[1] - rows[0]) as row, T.serial(0, columns[1] - columns[0]) as column:
                y, x = row * conv.window.stride[0] + top, column * conv.window.stride[1] + left
                low, high = (tir.Cast("int32", buffers.data[image, one, y, x]) - zero for one in (first, second))
                T.buffer_store(buffers.pairs, pair(low, high), [base + row * conv.pitch + column])


def _multiply(conv: ConvolutionKernel, buffers: _ConvolutionBuffers, group: Expr) -> None:
    """All tiles. Of weights and pairs, the larger is gone through once."""
    weights, data = conv.blocks * conv.tile.channels * conv.steps, conv.size
    if weights > data:
        with T.serial(0, conv.blocks) as block, T.serial(0, conv.stripes) as stripe:
            _tile(conv, buffers, group, block, stripe)
    else:
        with T.serial(0, conv.stripes) as stripe, T.serial(0, conv.blocks) as block:
            _tile(conv, buffers, group, block, stripe)


def _tile(conv: ConvolutionKernel, buffers: _ConvolutionBuffers, group: Expr, block: Expr, stripe: Expr) -> None:
    isa, tile = conv.isa, conv.tile
    first = stripe * (tile.vectors * isa.lanes)
    channel = block * tile.channels
    every = [(c, v) for c in range(tile.channels) for v in range(tile.vectors)]
    sums = {at: scratch((isa.lanes,), "int32", scope="local") for at in every}
    whole = isa.vector(0)
    for c, v in every:
        bias = buffers.biases[group * (conv.blocks * tile.channels) + channel + c]
        T.buffer_store(sums[c, v], isa.spread(bias), [whole])
    with T.serial(0, conv.steps) as step:
        start = first + buffers.table[step]
        weight = ((group * conv.blocks + block) * conv.steps + step) * tile.channels
        data = [bind(buffers.pairs[isa.vector(start + v * isa.lanes)]) for v in range(tile.vectors)]
        for c in range(tile.channels):
            spread = bind(isa.spread(buffers.weights[weight + c]))
            for v in range(tile.vectors):
                T.buffer_store(sums[c, v], sums[c, v][whole] + isa.dot(data[v], spread), [whole])
    narrow = narrowing(isa, buffers.numbers, conv.shifts, conv.result_dtype)
    for c, v in every:
        at = (channel + c) * conv.line + first + v * isa.lanes
        T.buffer_store(buffers.lines, narrow(sums[c, v][whole]), [isa.vector(at)])


def _collect(conv: ConvolutionKernel, buffers: _ConvolutionBuffers, image: Expr, group: Expr) -> None:
    """The result without what lies between its rows."""
    with T.serial(0, conv.outputs) as channel, T.serial(0, conv.result[2]) as y, T.serial(0, conv.result[3]) as x:
        value = buffers.lines[channel * conv.line + y * conv.pitch + x]
        T.buffer_store(buffers.result, value, [image, group * conv.outputs + channel, y, x])
