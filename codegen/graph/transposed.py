"""A transposed convolution as ordinary ones: what every `stride`-th output of an axis sees is a part of the kernel, slid by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.ops import (
    Cut,
    Flags,
    GraphError,
    Int8Array,
    Int32Array,
    Op,
    Shape,
    Window,
    check_linear,
    linear_input,
)


@dataclass(frozen=True)
class SubKernel:
    """Along one axis, what the outputs `first`, `first` + stride, ... see: `taps` of the kernel, in the order of the input. The
    m-th of these outputs meets input m - `before` with the first of them, the next input with the next."""

    first: int
    taps: tuple[int, ...]
    before: int

    def outputs(self, start: int, stop: int, stride: int) -> range:
        """Which of these outputs, counted from 0, lie in start .. stop of the axis."""
        return range(-(-(start - self.first) // stride), -(-(stop - self.first) // stride))

    def inputs(self, outputs: range, size: int) -> range:
        """What some outputs see of an input of `size`."""
        low, high = outputs.start - self.before, outputs.stop - self.before + len(self.taps) - 1
        start = min(max(low, 0), size)
        return range(start, max(min(high, size), start) if self.taps and outputs else start)


def sub_kernels(kernel: int, stride: int, padding: int) -> tuple[SubKernel, ...]:
    """One for each of the first `stride` outputs; `padding` outputs are cut off before these.

    Input y adds its product with tap k to output y * stride + k - padding.
    """
    found = []
    for first in range(stride):
        ahead, rest = divmod(first + padding, stride)
        taps = tuple(range(rest, kernel, stride))[::-1]
        found.append(SubKernel(first, taps, len(taps) - 1 - ahead))
    return tuple(found)


def as_convolution(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """(C, O / groups, ...) of a transposed convolution as (O, C / groups, ...), as an ordinary one has them; and back."""
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    return np.ascontiguousarray(grouped.reshape(groups * outputs, inputs // groups, *kernel))


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(Op):
    """Transposed convolution: input row y adds its product with row k of the kernel to output row y * stride + k - top.

    weight (O, C / groups, kh, kw) int8; bias (O,) int32 at the exponent of the sum. `window`: its padding is cut off the output,
    which has `more` rows and columns at the end.
    """

    weight: Int8Array
    bias: Int32Array
    window: Window
    groups: int
    cut: Cut
    more: tuple[int, int] = (0, 0)
    kind: ClassVar[str] = "conv2d_transpose"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, _, *image = linear_input(self, self.weight, self.groups, shapes[0])
        rows, columns = (self._outputs(axis, size) for axis, size in enumerate(image))
        if min(rows, columns) < 1:
            raise GraphError(f"{self.name}: padding {self.window.padding} leaves nothing of the output")
        return batch, self.weight.shape[0], rows, columns

    def _outputs(self, axis: int, size: int) -> int:
        cut_off = self.window.padding[axis] + self.window.padding[axis + 2]
        return (size - 1) * self.window.stride[axis] + self.window.reach[axis] - cut_off + self.more[axis]

    def sub_kernels(self, axis: int) -> tuple[SubKernel, ...]:
        """Of the rows (axis 0) or columns (1)."""
        return sub_kernels(self.window.kernel[axis], self.window.stride[axis], self.window.padding[axis])

    def sub_convolutions(self) -> Iterator[tuple[SubKernel, SubKernel]]:
        """What each of the ordinary convolutions sees along rows and along columns."""
        return product(self.sub_kernels(0), self.sub_kernels(1))

    def weight_of(self, rows: SubKernel, columns: SubKernel) -> Int8Array:
        """That of one of them, (O, C / groups, taps of the rows, taps of the columns)."""
        return self.weight[:, :, list(rows.taps)][..., list(columns.taps)]

    def macs(self, shapes: list[Shape]) -> int:
        batch, outputs, *image = self.infer(shapes)
        taps = [
            sum(
                len(part.taps) * len(part.outputs(0, size, self.window.stride[axis])) for part in self.sub_kernels(axis)
            )
            for axis, size in enumerate(image)
        ]
        return math.prod((batch, outputs, int(self.weight.shape[1]), *taps))

    def check(self, arch: Architecture) -> None:
        if self.window.dilation != (1, 1):
            raise GraphError(f"{self.name}: dilation {self.window.dilation}, a transposed convolution has (1, 1)")
        check_linear(self, self.weight, self.bias, self.cut, arch)

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        places = np.flatnonzero(outputs)[:, None] + self.window.padding[axis] - np.arange(self.window.kernel[axis])
        inputs = places[places % self.window.stride[axis] == 0] // self.window.stride[axis]
        seen = np.zeros(size, np.bool_)
        seen[inputs[(inputs >= 0) & (inputs < size)]] = True
        return seen

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, cut=self.cut.clamped(lo, hi))
