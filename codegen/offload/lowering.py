"""An operator that a front end found, as operations of the accelerator graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import half, halves, inverting_bias
from tvm_re2na.codegen.graph.channels import Concat, PartsMax, ScaleChannels, Select
from tvm_re2na.codegen.graph.graph import GraphBuilder
from tvm_re2na.codegen.graph.ops import (
    Add,
    Clip,
    Conv2d,
    Cut,
    Dense,
    GraphError,
    Lookup,
    MaxPool2d,
    Op,
    Reshape,
    Window,
)
from tvm_re2na.codegen.graph.pixels import ConcatPixels, DepthToSpace2d, Pad, Upsample2d
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.operator import Operator, by_kind

_GONE = 8  # bits: of a byte that is shifted so far or further nothing is left


class OperatorNames(NamedTuple):
    """An operator on its way into the graph: its name, its inputs' tensor names, the tensor to define."""

    name: str
    inputs: tuple[str, ...]
    output: str


def append_operator(builder: GraphBuilder, name: str, inputs: tuple[str, ...], op: Operator, arch: Architecture) -> str:
    """Append `op`, which keeps the rules of `arch` and reads the tensors `inputs`; returns the tensor it defines."""
    return _LOWER[op.kind](builder, OperatorNames(name, inputs, f"{name}:0"), op, arch)


def require_accepted(name: str, op: Operator, arch: Architecture) -> None:
    """Raises GraphError where `op` breaks a rule of `arch`."""
    rejection = rules.check(op, arch)
    if rejection is not None:
        raise GraphError(f"{name}: {rejection.reason} Found {rejection.value}, limit {rejection.limit}.")


def _linear(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    """One convolution or dense layer; two and an addition where ties go away from zero.

    With ties going up, r(s) = (s + half) >> lsb; with ties going away from zero, the result is r(s) for s >= 0 and r(s - 1)
    for s < 0. Both are computed, each clamped to its own side of zero, and added: one of them is always 0.
    """
    cut = op.cut()
    # a machine that truncates finds the rounding half in the bias
    more = halves(np.array(cut.all_lsbs)) - cut.halves(arch)
    if not op.splits_ties:
        return builder.append(_linear_op(source, op, cut, more))
    positive, negative = (
        OperatorNames(f"{source.name}.{side}", source.inputs, f"{source.name}:{side}") for side in ("up", "down")
    )
    up = builder.append(_linear_op(positive, op, replace(cut, lo=0, hi=127), more))
    down = builder.append(_linear_op(negative, op, replace(cut, lo=-128, hi=0), more - (np.array(cut.all_lsbs) > 0)))
    return builder.append(Add(source.name, (up, down), source.output, (0, 0), cut.lo, cut.hi))


def _linear_op(source: OperatorNames, op: Operator, cut: Cut, more: npt.NDArray[np.int64]) -> Op:
    if op.weight is None or op.bias is None:
        raise GraphError(f"{source.name}: weights and bias are no constants")
    weight = np.ascontiguousarray(op.weight, np.int8)
    bias = (op.bias.astype(np.int64) + more).astype(np.int32)
    if op.kind == "dense" or op.window is None:
        return Dense(*source, weight, bias, cut)
    if op.kind == "conv2d_transpose":
        return ConvTranspose2d(*source, weight, bias, op.window, op.groups, cut, beyond_inputs(op, op.window))
    return Conv2d(*source, weight, bias, op.window, op.groups, cut)


def beyond_inputs(op: Operator, window: Window) -> tuple[int, int]:
    """Rows and columns that the output of a transposed convolution has at its end beyond those that inputs reach."""
    rows, columns = (
        op.output.sizes[2 + axis]
        - (op.inputs[0].sizes[2 + axis] - 1) * window.stride[axis]
        - window.reach[axis]
        + window.padding[axis]
        + window.padding[axis + 2]
        for axis in range(2)
    )
    return rows, columns


def _max_pool2d(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    return builder.append(MaxPool2d(*source, _window(op), *_after(op)))


def _resize2d(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    if op.factors is None:
        raise GraphError(f"{source.name}: pixels are not repeated")
    return builder.append(Upsample2d(*source, op.factors, *_after(op)))


def _both(source: OperatorNames) -> tuple[str, ...]:
    """The operands of an operator of two; one that is both of them is there once."""
    return source.inputs * (2 // len(source.inputs))


def _add(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    shifts = op.rescales[0].shift, op.rescales[1].shift
    return builder.append(Add(source.name, _both(source), source.output, shifts, *_after(op)))


def _sub(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    """a - b is ~(~a + b): inverting, ~x = -1 - x, turns the order of all bytes round, so that what saturates does so alike."""
    del arch
    first, second = _both(source)
    shifts = [min(rescale.shift, _GONE) for rescale in op.rescales]
    inverted = _inverted(builder, source, first, ":inverted", Cut(shifts[0]))
    total = builder.append(Add(source.name, (inverted, second), f"{source.name}:sum", (0, shifts[1])))
    return _inverted(builder, source, total, ":0", Cut(0, *_after(op)))


def _inverted(builder: GraphBuilder, source: OperatorNames, tensor: str, suffix: str, cut: Cut) -> str:
    """-1 - x of each element x after it has been shifted, clamped; a convolution of channels by themselves."""
    shape, made = builder.shape(tensor), f"{source.name}{suffix}"
    flat = len(shape) == 2
    if flat:
        tensor = builder.append(Reshape(source.name, (tensor,), f"{made}:image", (*shape, 1, 1)))
    weight, bias = np.full((shape[1], 1, 1, 1), -1, np.int8), np.full(shape[1], inverting_bias(cut.lsb), np.int32)
    output = f"{made}:pixels" if flat else made
    builder.append(Conv2d(source.name, (tensor,), output, weight, bias, Window((1, 1)), shape[1], cut))
    return builder.append(Reshape(source.name, (output,), made, shape)) if flat else output


def _max(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    both = builder.append(Concat(source.name, _both(source), f"{source.name}:both"))
    return builder.append(PartsMax(source.name, (both,), source.output, 2, *_after(op)))


def _min(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    """Inverting turns the order of all bytes round: the smallest is the largest then."""
    del arch
    both = builder.append(Concat(source.name, _both(source), f"{source.name}:both"))
    inverted = _inverted(builder, source, both, ":inverted", Cut(0))
    largest = builder.append(PartsMax(source.name, (inverted,), f"{source.name}:largest", 2))
    return _inverted(builder, source, largest, ":0", Cut(0, *_after(op)))


def _concat(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    inputs = tuple(source.inputs[number] for number in op.operands)
    if op.axis == 1:
        return builder.append(Concat(source.name, inputs, source.output))
    sizes = tuple(builder.shape(name)[op.axis] for name in inputs)
    return builder.append(ConcatPixels(source.name, inputs, source.output, op.axis - 2, sizes))


def _select(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    if op.channels is None:
        raise GraphError(f"{source.name}: channels are no constants")
    window = op.window or Window((1, 1))
    if window == Window((1, 1)):
        return builder.append(Select(*source, op.channels))
    if np.array_equal(op.channels, np.arange(op.inputs[0].sizes[1])):
        return builder.append(Pad(*source, window.padding, window.stride))
    chosen = builder.append(Select(source.name, source.inputs, f"{source.name}:channels", op.channels))
    return builder.append(Pad(source.name, (chosen,), source.output, window.padding, window.stride))


def _depth_to_space(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    if op.factors is None or op.channels is None:
        raise GraphError(f"{source.name}: channels are no blocks of pixels")
    inputs = source.inputs
    if not np.array_equal(op.channels, np.arange(len(op.channels))):
        inputs = (builder.append(Select(source.name, inputs, f"{source.name}:order", op.channels)),)
    return builder.append(DepthToSpace2d(source.name, inputs, source.output, op.factors, *_after(op)))


def _mul(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    inputs, scale = source.inputs * (2 // len(source.inputs)), op.scale_operand
    cut = op.cut()
    # a machine that truncates finds the rounding half in the number that products start from
    start = half(cut.lsb) - arch.half(cut.lsb)
    return builder.append(ScaleChannels(source.name, (inputs[1 - scale], inputs[scale]), source.output, cut, start))


def _reshape(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    return builder.append(Reshape(*source, op.output.sizes))


def _pad(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    """Channels that hold one number only are sums of that number and no product."""
    del arch
    padding, value, inputs = _window(op).padding, int(op.pad_value or 0), source.inputs
    if not any(op.beyond):
        return builder.append(Pad(*source, padding, value=value))
    if any(padding):
        inputs = (builder.append(Pad(source.name, inputs, f"{source.name}:image", padding, value=value)),)
    (before, behind), channels = op.beyond, op.inputs[0].sizes[1]
    weight = np.zeros((before + channels + behind, channels, 1, 1), np.int8)
    weight[np.arange(channels) + before, np.arange(channels)] = 1
    bias = np.full(len(weight), value, np.int32)
    bias[before : before + channels] = 0
    return builder.append(Conv2d(source.name, inputs, source.output, weight, bias, Window((1, 1)), 1, Cut(0)))


def _clip(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    return builder.append(Clip(*source, *_after(op)))


def _lookup(builder: GraphBuilder, source: OperatorNames, op: Operator, arch: Architecture) -> str:
    del arch
    if op.table is None:
        raise GraphError(f"{source.name}: a lookup without a table")
    return builder.append(Lookup(*source, op.table))


_LOWER: dict[str, Callable[[GraphBuilder, OperatorNames, Operator, Architecture], str]] = by_kind(
    conv2d=_linear,
    conv2d_transpose=_linear,
    dense=_linear,
    max_pool2d=_max_pool2d,
    resize2d=_resize2d,
    depth_to_space=_depth_to_space,
    add=_add,
    sub=_sub,
    mul=_mul,
    max=_max,
    min=_min,
    concat=_concat,
    take=_select,
    strided_slice=_select,
    reshape=_reshape,
    pad=_pad,
    clip=_clip,
    lookup=_lookup,
)


def _window(op: Operator) -> Window:
    if op.window is None:
        raise GraphError(f"{op.kind}: no window")
    return op.window


def _after(op: Operator) -> tuple[int, int]:
    return op.after or (-128, 127)
