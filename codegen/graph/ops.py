"""Operators of the accelerator graph, on int8 tensors shaped (N, C, H, W) or (N, C).

What the numbers mean (their power-of-two exponents) has already been turned into shifts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import TABLE_BYTES, Architecture
from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.isa.limits import limits_of

Shape: TypeAlias = tuple[int, ...]
Shape4: TypeAlias = tuple[int, int, int, int]
Int8Array: TypeAlias = npt.NDArray[np.int8]
Flags: TypeAlias = npt.NDArray[np.bool_]
Int32Array: TypeAlias = npt.NDArray[np.int32]
ChannelNumbers: TypeAlias = npt.NDArray[np.int64]


class GraphError(Re2naError, ValueError):
    """A graph breaks a rule of this file; the message names the operator, the value and the limit."""

    exit_code = CANNOT_RUN


@dataclass(frozen=True)
class Cut:
    """What happens to a sum as it leaves a PE: `clamp(sum >> lsb, lo, hi)`, one half added first if the machine rounds. `lsbs`: one
    for each output channel, where they differ; `lsb` means nothing then."""

    lsb: int
    lo: int = -128
    hi: int = 127
    lsbs: tuple[int, ...] = ()

    @property
    def all_lsbs(self) -> tuple[int, ...]:
        """One for all channels, or one for each."""
        return self.lsbs or (self.lsb,)

    def halves(self, arch: Architecture) -> npt.NDArray[np.int64]:
        """What the rounding adds to the sums: (1,), or one for each output channel."""
        return np.array([arch.half(lsb) for lsb in self.all_lsbs], np.int64)

    def of_channels(self, first: int, last: int) -> Cut:
        """For the output channels first .. last."""
        return replace(self, lsbs=self.lsbs[first:last])

    def in_order(self, order: ChannelNumbers) -> Cut:
        """For the output channels in another order."""
        return replace(self, lsbs=tuple(self.lsbs[channel] for channel in order) if self.lsbs else ())

    def clamped(self, lo: int, hi: int) -> Cut:
        """With results clamped to lo..hi as well."""
        return replace(self, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))


@dataclass(frozen=True)
class Window:
    """A sliding window. `padding` is (top, left, bottom, right), in input pixels."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Output rows and columns for an input of `height` x `width` pixels (rounding down)."""
        top, left, bottom, right = self.padding
        reach_y, reach_x = self.reach
        return (height + top + bottom - reach_y) // self.stride[0] + 1, (width + left + right - reach_x) // self.stride[
            1
        ] + 1

    @property
    def reach(self) -> tuple[int, int]:
        """Input rows and columns that one output sees, holes of the dilation included."""
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        """The rows (axis 0) or columns (1) of an input of `size` that some of these outputs see."""
        starts = np.flatnonzero(outputs)[:, None] * self.stride[axis] - self.padding[axis]
        places = (starts + np.arange(self.kernel[axis])[None] * self.dilation[axis]).ravel()
        seen = np.zeros(size, np.bool_)
        seen[places[(places >= 0) & (places < size)]] = True
        return seen


@dataclass(frozen=True, eq=False)
class Op:
    """Base of all operators. `name` is the source operator's; `inputs` and `output` are tensor names."""

    name: str
    inputs: tuple[str, ...]
    output: str
    kind: ClassVar[str] = "op"

    def infer(self, shapes: list[Shape]) -> Shape:
        """The output's shape for the given input shapes; raises GraphError where the operator does not take them."""
        raise NotImplementedError

    def macs(self, shapes: list[Shape]) -> int:
        """Multiply-accumulates of the operator for the given input shapes."""
        del shapes
        return 0

    def check(self, arch: Architecture) -> None:
        """Raise GraphError where an attribute lies outside what the machine can do."""
        del arch

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        """The rows (axis 0) or columns (1) of an input of `size` that are read for these of the output; all, if nothing is said."""
        del axis, outputs
        return np.ones(size, np.bool_)

    def pixels_seen(self, axis: int, outputs: Flags, sizes: list[int]) -> list[Flags]:
        """`seen` of each input, of these sizes."""
        return [self.seen(axis, outputs, size) for size in sizes]

    def channels_seen(self, outputs: Flags, counts: list[int]) -> list[Flags]:
        """Of each input, which has so many, the channels that are read for these of the output; all, if nothing is said."""
        del outputs
        return [np.ones(count, np.bool_) for count in counts]

    def clamped(self, output: str, lo: int, hi: int) -> Op | None:
        """The operator that makes `output`, which is this one's clamped to lo..hi; None where it clamps nothing itself."""
        del output, lo, hi
        return None


@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """Convolution. weight (O, C / groups, kh, kw) int8; bias (O,) int32 at the exponent of the sum."""

    weight: Int8Array
    bias: Int32Array
    window: Window
    groups: int
    cut: Cut
    kind: ClassVar[str] = "conv2d"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, _, height, width = linear_input(self, self.weight, self.groups, shapes[0])
        return (batch, self.weight.shape[0], *_window_size(self, self.window, height, width))

    def in_order(self, order: ChannelNumbers) -> Conv2d:
        """With its outputs in another order."""
        return replace(self, weight=self.weight[order], bias=self.bias[order], cut=self.cut.in_order(order))

    def macs(self, shapes: list[Shape]) -> int:
        batch, outputs, height, width = self.infer(shapes)
        return batch * outputs * height * width * int(np.prod(self.weight.shape[1:]))

    def check(self, arch: Architecture) -> None:
        check_linear(self, self.weight, self.bias, self.cut, arch)

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return self.window.seen(axis, outputs, size)

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, cut=self.cut.clamped(lo, hi))


@dataclass(frozen=True, eq=False)
class Dense(Op):
    """Fully connected layer. weight (O, C) int8; bias (O,) int32 at the exponent of the sum."""

    weight: Int8Array
    bias: Int32Array
    cut: Cut
    kind: ClassVar[str] = "dense"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, channels = require_rank(self, shapes[0], 2)
        if channels != self.weight.shape[1]:
            raise GraphError(f"{self.name}: {channels} inputs, weights take {self.weight.shape[1]}")
        return batch, self.weight.shape[0]

    def macs(self, shapes: list[Shape]) -> int:
        return shapes[0][0] * self.weight.size

    def check(self, arch: Architecture) -> None:
        check_linear(self, self.weight, self.bias, self.cut, arch)

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, cut=self.cut.clamped(lo, hi))


@dataclass(frozen=True, eq=False)
class MaxPool2d(Op):
    """Maximum over a window, clamped to lo..hi; padding never wins."""

    window: Window
    lo: int = -128
    hi: int = 127
    kind: ClassVar[str] = "max_pool2d"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, channels, height, width = require_rank(self, shapes[0], 4)
        return (batch, channels, *_window_size(self, self.window, height, width))

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return self.window.seen(axis, outputs, size)

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Sum of two tensors: each operand is shifted right (rounding as the machine does) BEFORE the addition, as TVM does."""

    shifts: tuple[int, int]
    lo: int = -128
    hi: int = 127
    kind: ClassVar[str] = "add"

    def infer(self, shapes: list[Shape]) -> Shape:
        if shapes[0] != shapes[1]:
            raise GraphError(f"{self.name}: operands of shapes {shapes[0]} and {shapes[1]} differ")
        return shapes[0]

    def check(self, arch: Architecture) -> None:
        least, most = limits_of(arch, "ELTWISE", "shift_a")
        for shift in self.shifts:
            if not least <= shift <= most:
                raise GraphError(f"{self.name}: shift {shift} is outside {least}..{most}")

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))


@dataclass(frozen=True, eq=False)
class Clip(Op):
    """Clamp every element to lo..hi: a ReLU or clip that stands alone."""

    lo: int
    hi: int
    kind: ClassVar[str] = "clip"

    def infer(self, shapes: list[Shape]) -> Shape:
        return shapes[0]

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs


@dataclass(frozen=True, eq=False)
class Lookup(Op):
    """Each element replaced by its entry of `table` (256,) int8; entry i is that of the byte i, so that the last is that of -1."""

    table: Int8Array
    kind: ClassVar[str] = "lookup"

    def infer(self, shapes: list[Shape]) -> Shape:
        return shapes[0]

    def check(self, arch: Architecture) -> None:
        if not arch.activation_table:
            raise GraphError(f"{self.name}: the machine has no activation table (activation_table = 0)")
        if self.table.dtype != np.int8 or self.table.shape != (TABLE_BYTES,):
            raise GraphError(
                f"{self.name}: a table {self.table.dtype}{self.table.shape}, it must be int8({TABLE_BYTES},)"
            )

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, table=self.table.clip(lo, hi))


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same elements in the same (N, C, H, W) row-major order under another shape; the batch stays."""

    shape: Shape
    kind: ClassVar[str] = "reshape"

    def infer(self, shapes: list[Shape]) -> Shape:
        if np.prod(shapes[0]) != np.prod(self.shape) or shapes[0][0] != self.shape[0]:
            raise GraphError(f"{self.name}: {shapes[0]} cannot be reshaped to {self.shape}")
        return self.shape


def require_rank(op: Op, shape: Shape, rank: int) -> Shape:
    if len(shape) != rank:
        raise GraphError(f"{op.name}: {op.kind} takes a tensor of rank {rank}, got {shape}")
    return shape


def linear_input(op: Op, weight: Int8Array, groups: int, shape: Shape) -> Shape:
    """The shape, of as many channels as a weight (O, C / groups, kh, kw) takes; raises GraphError for any other."""
    _, channels, _, _ = require_rank(op, shape, 4)
    if channels != weight.shape[1] * groups:
        raise GraphError(f"{op.name}: {channels} input channels, weights take {weight.shape[1] * groups}")
    if weight.shape[0] % groups:
        raise GraphError(f"{op.name}: {weight.shape[0]} outputs do not divide into {groups} groups")
    return shape


def _window_size(op: Op, window: Window, height: int, width: int) -> tuple[int, int]:
    size = window.output_size(height, width)
    if min(size) < 1:
        raise GraphError(f"{op.name}: window {window.reach} does not fit the padded input of {height} x {width}")
    return size


def check_linear(op: Op, weight: Int8Array, bias: Int32Array, cut: Cut, arch: Architecture) -> None:
    """Raise GraphError for constants of the wrong type or shape, a cut that the machine has not, sums that start outside it."""
    if weight.dtype != np.int8 or bias.dtype != np.int32 or bias.shape != weight.shape[:1]:
        raise GraphError(
            f"{op.name}: weight {weight.dtype}{weight.shape} and bias {bias.dtype}{bias.shape} do not match"
        )
    if cut.lsbs and (len(cut.lsbs) != len(bias) or not arch.channel_cuts or not isinstance(op, Conv2d)):
        raise GraphError(f"{op.name}: {len(cut.lsbs)} lsbs of {len(bias)} channels, channel_cuts = {arch.channel_cuts}")
    check_cut(op, cut, arch)
    starts = bias + cut.halves(arch)
    low, high = int(starts.min()), int(starts.max())
    if low < arch.acc_min or high > arch.acc_max:
        raise GraphError(
            f"{op.name}: bias {low}..{high} does not fit {arch.acc_bits} bits {arch.acc_min}..{arch.acc_max}"
        )


def check_cut(op: Op, cut: Cut, arch: Architecture) -> None:
    """Raise GraphError for an LSB that no CONV of the machine can have."""
    least, most = limits_of(arch, "CONV", "lsb")
    for lsb in cut.all_lsbs:
        if not least <= lsb <= most:
            raise GraphError(f"{op.name}: lsb {lsb} is outside {least}..{most}")


def clamp(value: int, lo: int, hi: int) -> int:
    return min(max(value, lo), hi)


def four_axes(shape: Shape) -> Shape4:
    """(N, C) seen as (N, C, 1, 1)."""
    n, c, h, w = (*shape, 1, 1)[:4]
    return n, c, h, w
