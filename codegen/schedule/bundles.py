"""Which tensors lie side by side: what concatenations bring together is one stored tensor, so that nothing has to be moved.

Such a stored tensor is a bundle. Its members, each made by a unit or by a copy, lie in the order in which they are made: whatever
lies between channels that have been made has been made as well. A tensor is a choice of channels of a bundle, in some order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, ChannelNumbers, Conv2d, MaxPool2d, Op, Reshape, Shape4, four_axes
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.conv import pools_in_output_path


@dataclass(frozen=True)
class Member:
    """A tensor that is made on its own, of this shape. `spread`: how many pixels an instruction steps over from one that it writes
    to the next; 0: it writes plain bytes, and lies alone."""

    name: str
    shape: Shape4
    spread: int = 1


@dataclass(frozen=True)
class ChannelChoice:
    """A tensor as channels of members: the number of the member for each, and its channel there. `shape`: the one in which these
    are the channels; the tensor may be a reshape of it."""

    members: ChannelNumbers
    channels: ChannelNumbers
    shape: Shape4


class UnitOrigin(NamedTuple):
    """What becomes a unit: an operator of the graph, by its index, with the one behind it that joins it; or a copy of `copied`."""

    operator: int
    output: str
    behind: Op | None = None
    copied: str = ""


@dataclass(frozen=True)
class Arrangement:
    """Steps in order, each of which makes the member of its own number behind the inputs; every tensor as a choice."""

    steps: tuple[UnitOrigin, ...]
    members: tuple[Member, ...]
    choices: dict[str, ChannelChoice]
    bundles: tuple[tuple[int, ...], ...]  # numbers of members


def arrange(graph: Graph, arch: Architecture, separate: frozenset[int], parted: frozenset[int]) -> Arrangement:
    """For a verified graph; the convolutions whose indices are in `separate` are kept apart from what is behind them. The
    concatenations in `parted` copy what others read as well."""
    return _Arranging(graph, arch, separate, parted).run()


def choose(parts: Sequence[ChannelChoice]) -> ChannelChoice:
    """Choices of one size of images, side by side."""
    batch, _, height, width = parts[0].shape
    members = np.concatenate([part.members for part in parts])
    channels = np.concatenate([part.channels for part in parts])
    return ChannelChoice(members, channels, (batch, len(members), height, width))


class _Arranging:
    def __init__(self, graph: Graph, arch: Architecture, separate: frozenset[int], parted: frozenset[int]) -> None:
        self.graph = graph
        self.arch = arch
        self.separate = separate
        self.parted = parted
        self.steps: list[UnitOrigin] = []
        self.members: list[Member] = []
        self.choices: dict[str, ChannelChoice] = {}
        self.copies: dict[str, ChannelChoice] = {}
        self.parents: list[int] = []
        self.consumers: dict[str, list[Op]] = {}
        for op in graph.ops:
            for name in dict.fromkeys(op.inputs):
                self.consumers.setdefault(name, []).append(op)
        _, self.most = limits_of(arch, "CONV", "in_pixel_stride")

    def run(self) -> Arrangement:
        for name in self.graph.inputs:
            self.choices[name] = self._member(Member(name, self._input_shape(name), spread=0))
        for index, op in enumerate(self.graph.ops):
            if op.output not in self.choices:
                self._operator(index, op)
        bundles: dict[int, list[int]] = {}
        for number in range(len(self.members)):
            bundles.setdefault(self._root(number), []).append(number)
        return Arrangement(
            tuple(self.steps), tuple(self.members), self.choices, tuple(tuple(bundle) for bundle in bundles.values())
        )

    def _input_shape(self, name: str) -> Shape4:
        """An input that is only ever reshaped is stored for the reshaped form: the border does the work."""
        consumers = self.consumers.get(name, [])
        shapes = {op.shape for op in consumers if isinstance(op, Reshape)}
        if len(shapes) == 1 and all(isinstance(op, Reshape) for op in consumers):
            return four_axes(shapes.pop())
        return four_axes(self.graph.shapes[name])

    def _operator(self, index: int, op: Op) -> None:
        if isinstance(op, Reshape):
            self.choices[op.output] = self.choices[op.inputs[0]]
        elif isinstance(op, Concat):
            self.choices[op.output] = self._concat(index, op)
        elif isinstance(op, Select):
            source = self._in_own_shape(index, op.inputs[0])
            (batch, _, height, width), count = source.shape, len(op.channels)
            shape = batch, count, height, width
            self.choices[op.output] = ChannelChoice(source.members[op.channels], source.channels[op.channels], shape)
        else:
            behind = self._joining(index, op) if isinstance(op, Conv2d) else None
            last = behind or op
            kind = Unit.made_of.get(type(op), Unit)
            spread = 0 if kind.plain else kind.pixel_step(op)
            self.steps.append(UnitOrigin(index, last.output, behind))
            member = Member(last.output, four_axes(self.graph.shapes[last.output]), spread)
            self.choices[last.output] = self._member(member)

    def _member(self, member: Member) -> ChannelChoice:
        number, count = len(self.members), member.shape[1]
        self.members.append(member)
        self.parents.append(number)
        return ChannelChoice(np.full(count, number), np.arange(count), member.shape)

    # -- concatenations

    def _concat(self, index: int, op: Concat) -> ChannelChoice:
        read_again = {name for name in op.inputs if len(self.consumers[name]) > 1 and index in self.parted}
        parts = [(self._copy if name in read_again else self._in_own_shape)(index, name) for name in op.inputs]
        if self._join(parts):
            return choose(parts)
        parts = [
            part if self._joins(part) else self._copy(index, name) for part, name in zip(parts, op.inputs, strict=True)
        ]
        if not self._join(parts):  # in bundles that are too large together: a new one
            self.copies.clear()
            parts = [self._copy(index, name) for name in op.inputs]
            self._join(parts)
        return choose(parts)

    def _in_own_shape(self, index: int, tensor: str) -> ChannelChoice:
        choice = self.choices[tensor]
        return choice if choice.shape == four_axes(self.graph.shapes[tensor]) else self._copy(index, tensor)

    def _copy(self, index: int, tensor: str) -> ChannelChoice:
        """Made for a tensor that cannot lie beside others as it is."""
        if tensor not in self.copies:
            name = f"{tensor}.copy{len(self.members)}"
            self.steps.append(UnitOrigin(index, name, copied=tensor))
            self.copies[tensor] = self._member(Member(name, four_axes(self.graph.shapes[tensor])))
        return self.copies[tensor]

    def _joins(self, part: ChannelChoice) -> bool:
        return all(self.members[number].spread for number in np.unique(part.members))

    def _join(self, parts: Sequence[ChannelChoice]) -> bool:
        """Make one bundle of the members of all parts, where each may lie beside others and no stride becomes too long."""
        roots = {self._root(number) for part in parts for number in np.unique(part.members)}
        if len(roots) == 1:
            return True
        members = [member for number, member in enumerate(self.members) if self._root(number) in roots]
        total = sum(member.shape[1] for member in members)
        if not all(member.spread for member in members) or total * max(member.spread for member in members) > self.most:
            return False
        first = min(roots)
        for root in roots:
            self.parents[root] = first
        return True

    def _root(self, number: int) -> int:
        while self.parents[number] != number:
            number = self.parents[number]
        return number

    # -- what joins a convolution

    def _joining(self, index: int, op: Conv2d) -> MaxPool2d | Add | None:
        """The pooling or addition behind a convolution that the array's output path can do."""
        consumers = self.consumers.get(op.output, [])
        if index in self.separate or op.output in self.graph.outputs or len(consumers) != 1:
            return None
        behind = consumers[0]
        if isinstance(behind, MaxPool2d) and pools_in_output_path(behind.window, self.arch):
            return behind
        return behind if isinstance(behind, Add) and self._has_other_operand(behind, op.output) else None

    def _has_other_operand(self, op: Add, tensor: str) -> bool:
        """Whether the operand besides `tensor` is another one, has been computed already, and lies in memory in its own shape."""
        others = [name for name in op.inputs if name != tensor]
        if len(others) != 1 or others[0] not in self.choices:
            return False
        return self.choices[others[0]].shape == four_axes(self.graph.shapes[others[0]])
