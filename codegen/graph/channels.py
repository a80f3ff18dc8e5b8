"""Operators on whole channels: products by one factor for each, channels put side by side, channels taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.ops import ChannelNumbers, Cut, Flags, GraphError, Op, Shape, check_cut, clamp, four_axes


@dataclass(frozen=True, eq=False)
class ScaleChannels(Op):
    """Product of inputs[0], (N, C, H, W) or (N, C), and inputs[1], which has one factor for each image and channel; each starts
    from `start`."""

    cut: Cut
    start: int = 0
    kind: ClassVar[str] = "mul"

    def infer(self, shapes: list[Shape]) -> Shape:
        data, factors = map(four_axes, shapes)
        if factors != (*data[:2], 1, 1):
            raise GraphError(f"{self.name}: factors of shape {shapes[1]} are not one for each channel of {shapes[0]}")
        return shapes[0]

    def macs(self, shapes: list[Shape]) -> int:
        return math.prod(shapes[0])

    def check(self, arch: Architecture) -> None:
        check_cut(self, self.cut, arch)

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs if size == len(outputs) else np.ones(size, np.bool_)

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, cut=self.cut.clamped(lo, hi))


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """The channels of several tensors side by side."""

    kind: ClassVar[str] = "concat"

    def infer(self, shapes: list[Shape]) -> Shape:
        first = shapes[0]
        if any((len(shape), shape[0], shape[2:]) != (len(first), first[0], first[2:]) for shape in shapes):
            raise GraphError(
                f"{self.name}: operands of shapes {', '.join(map(str, shapes))} differ in more than channels"
            )
        return first[0], sum(shape[1] for shape in shapes), *first[2:]

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs

    def channels_seen(self, outputs: Flags, counts: list[int]) -> list[Flags]:
        return np.split(outputs, np.cumsum(counts)[:-1])


@dataclass(frozen=True, eq=False)
class Select(Op):
    """Channels of a tensor, `channels` by their numbers, in any order: a slice, a part of a split, a shuffle."""

    channels: ChannelNumbers
    kind: ClassVar[str] = "select"

    def infer(self, shapes: list[Shape]) -> Shape:
        shape, least, most = shapes[0], int(self.channels.min(initial=0)), int(self.channels.max(initial=-1))
        if self.channels.ndim != 1 or not self.channels.size or least < 0 or most >= shape[1]:
            raise GraphError(f"{self.name}: channels {least}..{most} are selected, there are {shape[1]}")
        return shape[0], len(self.channels), *shape[2:]

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs

    def channels_seen(self, outputs: Flags, counts: list[int]) -> list[Flags]:
        seen = np.zeros(counts[0], np.bool_)
        seen[self.channels[outputs]] = True
        return [seen]


@dataclass(frozen=True, eq=False)
class PartsMax(Op):
    """Of `parts` equal parts of the channels, which lie one after the other, the largest of each channel; clamped to lo..hi."""

    parts: int
    lo: int = -128
    hi: int = 127
    kind: ClassVar[str] = "parts_max"

    def infer(self, shapes: list[Shape]) -> Shape:
        shape = shapes[0]
        if self.parts < 1 or shape[1] % self.parts:
            raise GraphError(f"{self.name}: {shape[1]} channels are no {self.parts} equal parts")
        return shape[0], shape[1] // self.parts, *shape[2:]

    def seen(self, axis: int, outputs: Flags, size: int) -> Flags:
        return outputs

    def channels_seen(self, outputs: Flags, counts: list[int]) -> list[Flags]:
        return [np.tile(outputs, self.parts)]

    def clamped(self, output: str, lo: int, hi: int) -> Op:
        return replace(self, output=output, lo=clamp(self.lo, lo, hi), hi=clamp(self.hi, lo, hi))
