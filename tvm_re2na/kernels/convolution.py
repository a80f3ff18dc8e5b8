"""A convolution whose vectors hold neighbouring pixels of one output channel.

The data of a group, minus its zero point, is first laid out as lines of pairs: two channels of a pixel in 32 bits, padded, and
split by stride so that what neighbouring outputs read under one weight is always neighbouring. Outputs are numbered through
`Lines.pitch` to a row; the few between two rows are computed and dropped. What is left of any window, stride, dilation
and padding is a table: where the pairs under each pair of weights begin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.ops import Shape4, Window
from tvm_re2na.kernels.instructions import Instructions

MOST_VECTORS = 4  # of pixels in a tile


@dataclass(frozen=True)
class Tile:
    """Sums that are kept in registers: `channels` times `vectors` of pixels."""

    channels: int
    vectors: int


@dataclass(frozen=True)
class ConvolutionKernel:
    """What a function depends on. Layers that agree in it share the function: weights and scales are arguments."""

    kind: ClassVar[str] = "convolution"  # of the function's name

    isa: Instructions
    data: Shape4
    data_dtype: str
    result: Shape4
    result_dtype: str
    window: Window
    groups: int
    shifts: bool

    @property
    def macs(self) -> int:
        return math.prod((*self.result, self.channels, *self.window.kernel))

    @property
    def channels(self) -> int:
        """Input channels of a group."""
        return self.data[1] // self.groups

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.result[1] // self.groups

    @property
    def pairs(self) -> int:
        """Of channels; of an odd number, the last is paired with itself, under a weight of zero."""
        return -(-self.channels // 2)

    @cached_property
    def phases(self) -> list[tuple[int, int]]:
        """Rows and columns, modulo the stride, that the window meets."""
        return sorted({(y, x) for (y, _), (x, _) in self._steps()})

    @property
    def rows(self) -> int:
        """Of a line buffer: those of the result, and those a window reaches beyond."""
        return self.result[2] + (self.window.reach[0] - 1) // self.window.stride[0]

    @property
    def pitch(self) -> int:
        return self.result[3] + (self.window.reach[1] - 1) // self.window.stride[1]

    @property
    def plane(self) -> int:
        return self.rows * self.pitch

    @cached_property
    def inside(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """For each phase the rows and columns of the line buffer that hold data, not padding."""
        sizes = (self.rows, self.pitch)

        def span(axis: int, phase: int) -> tuple[int, int]:
            stride, before, size = self.window.stride[axis], self.window.padding[axis], self.data[2 + axis]
            start, stop = -(-(before - phase) // stride), -(-(before + size - phase) // stride)
            return min(max(start, 0), sizes[axis]), min(max(stop, 0), sizes[axis])

        return [(span(0, y), span(1, x)) for y, x in self.phases]

    @property
    def pixels(self) -> int:
        """Outputs that are computed, those between the rows included."""
        return (self.result[2] - 1) * self.pitch + self.result[3]

    @cached_property
    def steps(self) -> int:
        """Pairs of weights of an output."""
        return self.pairs * self.window.kernel[0] * self.window.kernel[1]

    @cached_property
    def tile(self) -> Tile:
        """Of those that fit the registers, the one of least cycles: multiplications against loads, on the padded layer."""
        most = self.isa.accumulators
        tiles = [Tile(c, v) for v in range(1, MOST_VECTORS + 1) for c in range(1, most // v + 1)]
        return min(tiles, key=self._cycles)

    def _cycles(self, tile: Tile) -> float:
        count = -(-self.outputs // tile.channels) * -(-self.pixels // (tile.vectors * self.isa.lanes))
        return count * (max(tile.channels * tile.vectors, tile.channels + tile.vectors, 4) + 1)

    @property
    def blocks(self) -> int:
        """Tiles of channels in a group."""
        return -(-self.outputs // self.tile.channels)

    @property
    def stripes(self) -> int:
        """Tiles of pixels."""
        return -(-self.pixels // (self.tile.vectors * self.isa.lanes))

    @property
    def line(self) -> int:
        """Pixels of all tiles."""
        return self.stripes * self.tile.vectors * self.isa.lanes

    @property
    def size(self) -> int:
        """Of the line buffer, in pairs, with what the last tile reads beyond."""
        return self.pairs * len(self.phases) * self.plane + self.line - self.pixels

    def table(self) -> npt.NDArray[np.int32]:
        """Where the pairs under each pair of weights begin: by pair of channels, row and column of the window."""
        place = {phase: index for index, phase in enumerate(self.phases)}
        window = [place[y, x] * self.plane + row * self.pitch + column for (y, row), (x, column) in self._steps()]
        bases = range(0, self.pairs * len(self.phases) * self.plane, len(self.phases) * self.plane)
        return np.array([base + begin for base in bases for begin in window], np.int32)

    def _steps(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """For each weight of the window, phase and place of its row, and of its column."""
        (height, width), (down, across) = self.window.kernel, self.window.dilation
        above, beside = self.window.stride
        return [
            ((y * down % above, y * down // above), (x * across % beside, x * across // beside))
            for y in range(height)
            for x in range(width)
        ]

    def packed(self, weight: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
        """Weights [O, C / groups, H, W] as pairs: [groups, blocks, steps, channels of a tile]."""
        missing = 2 * self.pairs - self.channels, self.blocks * self.tile.channels - self.outputs
        grouped = weight.reshape(self.groups, self.outputs, self.channels, -1)
        whole = np.pad(grouped, ((0, 0), (0, missing[1]), (0, missing[0]), (0, 0)))
        split = whole.reshape(self.groups, self.blocks, self.tile.channels, self.pairs, 2, -1)
        ordered = np.ascontiguousarray(split.transpose(0, 1, 3, 5, 2, 4))
        shape = self.groups, self.blocks, self.steps, self.tile.channels
        pairs: npt.NDArray[np.int32] = ordered.view(np.int32).reshape(shape)
        return pairs

    def biases(self, bias: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Biases [O] as [groups, channels of all blocks]."""
        grouped = bias.reshape(self.groups, self.outputs)
        return np.pad(grouped, ((0, 0), (0, self.blocks * self.tile.channels - self.outputs)))
