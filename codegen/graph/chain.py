"""The longest chain of layers that each add up all channels of the one before, and pixels along which they depend on each other.

For the bound on traffic between layers (`forced.py`, docs/bounds.md): operators that keep channels apart (pooling, additions,
depthwise convolutions, functions) join two layers of the chain, anything else separates them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES
from tvm_re2na.codegen.graph.channels import ScaleChannels
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, Dense, Flags, Lookup, MaxPool2d, Op, Window, four_axes
from tvm_re2na.codegen.graph.reads import Need, given

POINT = Window((1, 1))


@dataclass(frozen=True)
class Link:
    """An operator of the chain, or one between two layers of it, and the operand by which the chain goes on."""

    op: Op
    source: str
    sizes: tuple[tuple[int, int], tuple[int, int]]  # (input, output), for rows and for columns
    channels: Flags  # of the operand, which its result depends on; of a layer, at the middle of its window

    @property
    def window(self) -> Window:
        return self.op.window if isinstance(self.op, Conv2d | MaxPool2d) else POINT


@dataclass
class ChainLayer:
    """One layer of the chain. `links`: from the layer before to this one's input, none where they are not joined."""

    link: Link
    images: int
    steps: int  # k-steps that every block of outputs has
    missing_steps: int
    weight_share: float  # DRAM bytes of a byte of weights
    read: Need
    input_bytes_move: (
        bool  # the input is the network's or one of its results: a byte more is a byte, not a store and a load
    )
    has_input: bool  # the input lies in memory as it is
    links: tuple[Link, ...] = ()
    joined: bool = False

    @cached_property
    def used(self) -> Flags:
        """Of its inputs, the channels that come from the layer before and that it reads."""
        flags = self.link.channels.copy()
        for link in self.links:
            flags &= link.channels
        return flags


@dataclass(frozen=True)
class Places:
    """Positions along one axis, offset + step * i for i in first .. last, of the outputs at the end of a window of layers."""

    offset: int
    step: int
    first: int
    last: int

    def within(self, low: int, high: int) -> Places:
        """Those at low .. high."""
        first = max(self.first, -((self.offset - low) // self.step))
        return replace(self, first=first, last=min(self.last, (high - 1 - self.offset) // self.step + 1))

    def inside(self, window: Window, axis: int, sizes: tuple[int, int]) -> Places:
        """Those outputs whose whole window lies within the input."""
        reach = window.reach[axis] - 1
        seen = self._seen(window, axis, 0).within(0, sizes[0] - reach)
        return replace(self, first=seen.first, last=seen.last)

    def through(self, window: Window, axis: int, sizes: tuple[int, int]) -> Places:
        """Where in the input the middle of these outputs' windows lies; those that lie outside are left out."""
        return self._seen(window, axis, window.kernel[axis] // 2).within(0, sizes[0])

    def _seen(self, window: Window, axis: int, tap: int) -> Places:
        stride, padding, dilation = window.stride[axis], window.padding[axis], window.dilation[axis]
        return replace(self, offset=self.offset * stride - padding + tap * dilation, step=self.step * stride)

    def shared(self, window: Window, axis: int, sizes: tuple[int, int]) -> tuple[Places, int]:
        """Of these outputs those whose middle every other output sees by which it could be seen, and by how many taps."""
        stride, dilation, middle = window.stride[axis], window.dilation[axis], window.kernel[axis] // 2
        moves = [
            (middle - tap) * dilation // stride
            for tap in range(window.kernel[axis])
            if (middle - tap) * dilation % stride == 0
        ]
        return self.within(-min(moves), sizes[1] - max(moves)), len(moves)

    def uses(self, window: Window, axis: int) -> int:
        """The most of these outputs that see one input."""
        stride, dilation = window.stride[axis] * self.step, window.dilation[axis]
        return -(-window.kernel[axis] // (stride // math.gcd(stride, dilation)))

    @property
    def count(self) -> int:
        return max(self.last - self.first, 0)


def chain_of(graph: Graph, arch: Architecture, read: dict[str, Need], packed: list[int]) -> list[ChainLayer]:
    """The chain of most layers; `packed`: bytes of each operator's records."""
    return _Chains(graph, arch, read, packed).longest()


@dataclass(frozen=True)
class _Path:
    """The best way to a tensor: layers so far, the last of them, and the links from its output to here."""

    length: int = 0
    layers: tuple[ChainLayer, ...] = ()
    links: tuple[Link, ...] = ()
    whole: bool = False  # the links lead from the last layer to here


class _Chains:
    def __init__(self, graph: Graph, arch: Architecture, read: dict[str, Need], packed: list[int]) -> None:
        self.graph, self.arch, self.read = graph, arch, read
        self.packed = packed
        self.border = {*graph.inputs, *(name for name, channels in given(graph).items() if channels.any())}
        self.made = {op.output: op for op in graph.ops}

    def longest(self) -> list[ChainLayer]:
        paths = {name: _Path() for name in self.graph.inputs}
        for index, op in enumerate(self.graph.ops):
            source, path = max(((name, paths[name]) for name in op.inputs), key=lambda each: each[1].length)
            if (isinstance(op, Conv2d) and op.groups == 1) or isinstance(op, Dense):
                paths[op.output] = self._with_layer(path, op, index)
                continue
            channels = self._kept_apart(op, source)
            if channels is None or not path.whole or source in self.border:
                paths[op.output] = replace(path, links=(), whole=False)
                continue
            link = Link(op, source, self._sizes(op, source), channels)
            paths[op.output] = replace(path, links=(*path.links, link))
        best = max(paths.values(), key=lambda path: path.length, default=_Path())
        return list(best.layers)

    def _with_layer(self, path: _Path, op: Conv2d | Dense, index: int) -> _Path:
        """The path goes on through a layer, joined to the one before where the links lead there."""
        source = op.inputs[0]
        steps, middle = self._steps(op)
        weights = self.packed[index] - BIAS_BYTES * len(op.weight) - len(op.cut.lsbs)
        producer = self.made.get(source)
        layer = ChainLayer(
            link=Link(op, source, self._sizes(op, source), middle),
            images=self.graph.shapes[op.output][0],
            steps=steps,
            missing_steps=op.weight[0].size - steps,
            weight_share=min(1.0, max(weights, 0) / op.weight.size),
            read=self.read[op.output],
            input_bytes_move=source in self.border,
            has_input=producer is None
            or isinstance(producer, Conv2d | Dense | MaxPool2d | Add | Lookup | ScaleChannels),
            links=path.links if path.whole and source not in self.border else (),
            joined=path.whole and source not in self.border,
        )
        return _Path(path.length + 1, (*path.layers, layer), (), True)

    def _sizes(self, op: Op, source: str) -> tuple[tuple[int, int], tuple[int, int]]:
        before, after = four_axes(self.graph.shapes[source])[2:], four_axes(self.graph.shapes[op.output])[2:]
        return (before[0], after[0]), (before[1], after[1])

    def _kept_apart(self, op: Op, source: str) -> Flags | None:
        """The channels of an operator that computes each of them from the same channel of `source`; None for any other."""
        count = self.graph.shapes[source][1]
        if isinstance(op, Conv2d):
            if op.groups != count or len(op.weight) != count:
                return None
            return np.asarray(op.weight[:, 0, op.window.kernel[0] // 2, op.window.kernel[1] // 2] != 0)
        plain = isinstance(op, MaxPool2d | Add | Clip | Lookup) or (
            isinstance(op, ScaleChannels) and source == op.inputs[0]
        )
        return np.ones(count, np.bool_) if plain else None

    def _steps(self, op: Conv2d | Dense) -> tuple[int, Flags]:
        """How many steps every block of outputs has, and for each channel whether the one at the middle is among them."""
        weight = op.weight.reshape(*op.weight.shape[:2], -1)
        middle = weight.shape[2] // 2
        if isinstance(op, Conv2d):
            middle = op.window.kernel[0] // 2 * op.window.kernel[1] + op.window.kernel[1] // 2
        rows = min(shape[0] for shape in self.arch.shapes)
        present = np.ones(weight.shape[1:], np.bool_)
        for first in range(0, len(weight), rows):
            present &= weight[first : first + rows].any(axis=0)
        return int(np.count_nonzero(present)), present[:, middle]
