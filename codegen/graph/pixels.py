"""Operators that move pixels: repeated, padded, left out, put together of channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.ops import Flags, GraphError, Op, Shape, Window, clamp, require_rank


@dataclass(frozen=True, eq=False)
class Upsample2d(Op):
    """Each row and each column repeated, `factors` (rows, columns) times, then clamped to lo..hi."""

    factors: tuple[int, int]
    lo: int = -128
    hi: int = 127
    kind: ClassVar[str] = "resize2d"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, channels, height, width = require_rank(self, shapes[0], 4)
        if min(self.factors) < 1:
            raise GraphError(f"{self.name}: factors {self.factors}, each must be 1 or more")
        return batch, channels, height * self.factors[0], width * self.factors[1]

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        seen = np.zeros(size, np.bool_)
        seen[np.flatnonzero(outputs) // self.factors[axis]] = True
        return seen

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))


@dataclass(frozen=True, eq=False)
class DepthToSpace2d(Op):
    """A block of `factors` (rows, columns) pixels of each pixel's channels, then clamped to lo..hi: of so many equal parts of the
    channels the first becomes the first pixel of the block's first row, the next the pixel right of it."""

    factors: tuple[int, int]
    lo: int = -128
    hi: int = 127
    kind: ClassVar[str] = "depth_to_space"

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, channels, height, width = require_rank(self, shapes[0], 4)
        down, across = self.factors
        if min(self.factors) < 1 or channels % (down * across):
            raise GraphError(f"{self.name}: {channels} channels are no block of {down} x {across} pixels")
        return batch, channels // (down * across), height * down, width * across

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return np.logical_or.reduceat(outputs, np.arange(size) * self.factors[axis])

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """Pixels that hold `value` around the image; `padding` is (top, left, bottom, right) in pixels, and leaves out so many where it
    is negative. Of the rows and columns that there are then, the first of every `stride`."""

    padding: tuple[int, int, int, int]
    stride: tuple[int, int] = (1, 1)
    value: int = 0
    kind: ClassVar[str] = "pad"

    @property
    def window(self) -> Window:
        """Of one pixel."""
        return Window((1, 1), self.stride, self.padding)

    def infer(self, shapes: list[Shape]) -> Shape:
        batch, channels, height, width = require_rank(self, shapes[0], 4)
        rows, columns = self.window.output_size(height, width)
        if min(rows, columns) < 1 or min(self.stride) < 1:
            raise GraphError(f"{self.name}: of {height} x {width} pixels {rows} x {columns} are left")
        return batch, channels, rows, columns

    def check(self, arch: Architecture) -> None:
        if not arch.data_min <= self.value <= arch.data_max:
            raise GraphError(f"{self.name}: value {self.value} is outside {arch.data_min}..{arch.data_max}")

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return self.window.seen(axis, outputs, size)


@dataclass(frozen=True, eq=False)
class ConcatPixels(Op):
    """The rows (`axis` 0) or columns (1) of several tensors, which have `sizes` of them, one after the other."""

    axis: int
    sizes: tuple[int, ...]
    kind: ClassVar[str] = "concat_pixels"

    def infer(self, shapes: list[Shape]) -> Shape:
        place = 2 + self.axis
        others = {shape[:place] + shape[place + 1 :] for shape in shapes if len(shape) == 4}
        if len(others) != 1 or [shape[place] for shape in shapes] != list(self.sizes):
            raise GraphError(
                f"{self.name}: operands of shapes {', '.join(map(str, shapes))} are not {self.sizes} alike"
            )
        return *shapes[0][:place], sum(self.sizes), *shapes[0][place + 1 :]

    def pixels_seen(self, axis: int, outputs: Flags, sizes: list[int]) -> list[Flags]:
        return np.split(outputs, np.cumsum(sizes)[:-1]) if axis == self.axis else [outputs] * len(sizes)
