"""Pass `units`: the graph becomes a list of units of work on stored tensors.

A stored tensor lies in memory as (N, H, W, C). A reshape only changes how one is looked at, because the elements keep their
(N, C, H, W) order; it costs a copy only where the bytes really have to move. So do a concatenation and a choice of channels: units
write and read parts of a stored tensor (`bundles.py`), and the weights of a convolution are brought into the order in which its
channels lie, with zeros, which cost nothing, for what lies between. A unit is a convolution with what the array's output path does
to its results (a max-pool of windows that do not overlap, or a residual addition), a dense layer, a pooling, an element-wise
operator or such a copy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.channels import Concat
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import (
    Add,
    ChannelNumbers,
    Conv2d,
    Cut,
    Dense,
    Int8Array,
    MaxPool2d,
    Op,
    Shape,
    Shape4,
    Window,
    four_axes,
)
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.schedule.bundles import Arrangement, UnitOrigin, arrange
from tvm_re2na.codegen.schedule.unit.base import Among, Unit
from tvm_re2na.codegen.schedule.unit.blocks import BlockSize, Weights
from tvm_re2na.codegen.schedule.unit.conv import AddStep, ConvUnit, conv_cycles
from tvm_re2na.codegen.schedule.unit.dense import DenseUnit
from tvm_re2na.codegen.schedule.unit.pool import COPY, PoolUnit
from tvm_re2na.codegen.schedule.unit.relayout import RelayoutUnit
from tvm_re2na.codegen.schedule.unit.transposed import TransposedUnit


@dataclass(frozen=True)
class Stored:
    """A tensor in memory: (N, C, H, W) sizes, stored channels-last, one byte an element."""

    name: str
    shape: Shape4

    @property
    def bytes(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Held:
    """Where the channels of a tensor lie: their numbers in a stored tensor of `total`. `shape`: that in which they are channels."""

    stored: str
    channels: ChannelNumbers
    total: int
    shape: Shape4

    @classmethod
    def all_of(cls, stored: str, shape: Shape4) -> Held:
        """All channels of a stored tensor, seen in this shape."""
        return cls(stored, np.arange(shape[1]), shape[1], shape)

    @cached_property
    def first(self) -> int:
        return int(self.channels.min())

    @cached_property
    def last(self) -> int:
        """Behind the last."""
        return int(self.channels.max()) + 1

    @cached_property
    def is_run(self) -> bool:
        """Neighbours, in order."""
        return bool((np.diff(self.channels) == 1).all())

    @cached_property
    def is_whole(self) -> bool:
        return len(self.channels) == self.total and self.is_run

    @cached_property
    def has_repeats(self) -> bool:
        return len(np.unique(self.channels)) < len(self.channels)

    def spread(self, weight: Int8Array) -> Int8Array:
        """Weights (O, C, ...) for all channels from the first to the last, zeros for those that are not among them."""
        if self.is_run:
            return weight
        outputs, _, *kernel = weight.shape
        spread = np.zeros((outputs, self.last - self.first, *kernel), np.int8)
        spread[:, self.channels - self.first] = weight
        return spread


class Destination(NamedTuple):
    """What a unit makes: the number of the member, or -1, the stored tensor, and the first channel there."""

    member: int
    stored: str
    first: int


@dataclass(frozen=True)
class UnitGraph:
    """Units in execution order and the tensors between them. `inputs` and `outputs`: (name, caller's shape, stored tensor).
    `concats`: by the index of each concatenation, the stored tensor in which it is. `held`: where each tensor of the graph lies,
    but for those that exist within a unit alone."""

    units: tuple[Unit, ...]
    stored: dict[str, Stored]
    inputs: tuple[tuple[str, Shape, str], ...]
    outputs: tuple[tuple[str, Shape, str], ...]
    concats: dict[int, str]
    held: dict[str, Held]

    def __str__(self) -> str:
        lines = [f"input  {name} {shape} = {stored}" for name, shape, stored in self.inputs]
        lines += [f"{unit.kind}: {', '.join(unit.inputs)} -> {unit.output} {unit.out_shape}" for unit in self.units]
        lines += [f"output {name} {shape} = {stored}" for name, shape, stored in self.outputs]
        return "\n".join(lines) + "\n"


def make_units(
    graph: Graph, arch: Architecture, separate: frozenset[int] = frozenset(), parted: frozenset[int] = frozenset()
) -> UnitGraph:
    """Lower a verified graph; the source of a unit is the index of its operator in `graph.ops`.

    The convolutions whose sources are in `separate` are kept apart from the pooling or addition behind them, and what the
    concatenations in `parted` bring together is copied where others read it as well.
    """
    return _Lowering(graph, arch, arrange(graph, arch, separate, parted)).run()


def same_bytes(first: Shape4, second: Shape4) -> bool:
    """Whether the same elements, stored channels-last for either shape, lie in the same order."""
    if first == second:
        return True
    plain = all(shape[1] == 1 or shape[2] * shape[3] == 1 for shape in (first, second))
    return plain or (first[1] == second[1] and first[2] * first[3] == second[2] * second[3])


class _Lowering:
    def __init__(self, graph: Graph, arch: Architecture, arrangement: Arrangement) -> None:
        self.graph = graph
        self.arch = arch
        self.durations = Durations(arch)
        self.arrangement = arrangement
        self.units: list[Unit] = []
        self.stored: dict[str, Stored] = {}
        self.places: dict[int, tuple[str, int]] = {}  # of a member: its stored tensor, and its first channel there
        self.ranks: dict[int, ChannelNumbers] = {}  # of a member that is made in another order: where each channel lies
        self.copied: dict[str, Held] = {}  # tensors that have been made once more, because of how they lie
        for bundle in self.arrangement.bundles:
            self._place(bundle)

    def run(self) -> UnitGraph:
        graph = self.graph
        for number, step in enumerate(self.arrangement.steps, len(graph.inputs)):
            self._lower(number, step)
        inputs = tuple((name, graph.shapes[name], name) for name in graph.inputs)
        last = len(graph.ops) - 1
        outputs = tuple((name, graph.shapes[name], self._whole(last, name).stored) for name in graph.outputs)
        concats = {
            index: self.places[int(self.arrangement.choices[op.output].members[0])][0]
            for index, op in enumerate(graph.ops)
            if isinstance(op, Concat)
        }
        held = {name: self._made(name) for name in self.arrangement.choices}
        return UnitGraph(tuple(self.units), self.stored, inputs, outputs, concats, held)

    def _place(self, bundle: tuple[int, ...]) -> None:
        members = [self.arrangement.members[number] for number in bundle]
        batch, _, height, width = members[0].shape
        name, total = members[0].name, 0
        for number, member in zip(bundle, members, strict=True):
            self.places[number] = name, total
            total += member.shape[1]
        self.stored[name] = Stored(name, (batch, total, height, width))

    def _lower(self, number: int, step: UnitOrigin) -> None:
        target = Destination(number, *self.places[number])
        if step.copied:
            self._copy(step.operator, step.copied, target)
            return
        op = self.graph.ops[step.operator]
        if isinstance(op, Dense):
            self._dense(step.operator, op, target)
        elif isinstance(op, Conv2d):
            self._conv(step.operator, op, step.behind, target)
        elif isinstance(op, ConvTranspose2d):
            self._transposed(step.operator, op, target)
        else:
            self._spatial(step.operator, op, target)

    def _append(self, unit: Unit, held: Sequence[Held], target: Destination) -> None:
        """The unit, which reads what is held from the first of its channels on."""
        among = tuple(Among(part.first, part.total) for part in held)
        whole = all(part.is_whole for part in held)
        self.units.append(replace(unit, among=() if whole else among, out_first=target.first))

    # -- operands

    def _held(self, tensor: str) -> Held:
        return self.copied[tensor] if tensor in self.copied else self._made(tensor)

    def _made(self, tensor: str) -> Held:
        """Where it lies as it is made, whatever copies there are."""
        choice = self.arrangement.choices[tensor]
        stored, _ = self.places[int(choice.members[0])]
        channels = np.empty_like(choice.channels)
        for number in np.unique(choice.members):
            mine = choice.members == number
            ranks = self.ranks.get(int(number))
            own = choice.channels[mine] if ranks is None else ranks[choice.channels[mine]]
            channels[mine] = own + self.places[int(number)][1]
        return Held(stored, channels, self.stored[stored].shape[1], choice.shape)

    def _own(self, index: int, tensor: str) -> Held:
        """The tensor's channels in its own shape."""
        held, wanted = self._held(tensor), four_axes(self.graph.shapes[tensor])
        if held.shape[1] == wanted[1] and held.shape[2] * held.shape[3] == wanted[2] * wanted[3]:
            return replace(held, shape=wanted)
        held = self._whole(index, tensor)
        if same_bytes(held.shape, wanted):
            return Held.all_of(held.stored, wanted)
        copy = self._fresh(f"{tensor}.relayout", wanted)
        self.units.append(RelayoutUnit.between(index, held.stored, copy, held.shape, wanted))
        self.copied[tensor] = Held.all_of(copy, wanted)
        return self.copied[tensor]

    def _whole(self, index: int, tensor: str) -> Held:
        """All of a stored tensor; a copy where the tensor is a part of one, or in another order."""
        held = self._held(tensor)
        return held if held.is_whole else self._gathered(index, tensor, held)

    def _run(self, index: int, tensor: str) -> Held:
        """Neighbouring channels, in order; a copy where they are none."""
        held = self._own(index, tensor)
        return held if held.is_run else self._gathered(index, tensor, held)

    def _fresh(self, name: str, shape: Shape4) -> str:
        self.stored[name] = Stored(name, shape)
        return name

    def _gathered(self, index: int, tensor: str, held: Held) -> Held:
        copy = self._fresh(f"{tensor}.gathered", held.shape)
        self._move(index, held, Destination(-1, copy, 0))
        self.copied[tensor] = Held.all_of(copy, held.shape)
        return self.copied[tensor]

    def _copy(self, index: int, tensor: str, target: Destination) -> None:
        self._move(index, self._own(index, tensor), target)

    def _move(self, index: int, held: Held, target: Destination) -> None:
        """A copy of channels in order: pixels that are maxima of one, or sums of one product where there is no order."""
        shape, name = held.shape, self.graph.ops[index].name
        if held.is_run:
            self._append(PoolUnit(index, (held.stored,), target.stored, shape, shape, COPY), [held], target)
            return
        ones = np.zeros((shape[1], held.last - held.first, 1, 1), np.int8)
        ones[np.arange(shape[1]), held.channels - held.first] = 1
        conv = Conv2d(name, (), "", ones, np.zeros(shape[1], np.int32), Window((1, 1)), 1, Cut(0))
        self._linear(index, conv, [held], target, shape)

    # -- operators

    def _spatial(self, index: int, op: Op, target: Destination) -> None:
        shape, out_shape = (four_axes(self.graph.shapes[name]) for name in (op.inputs[0], op.output))
        kind = Unit.made_of.get(type(op), Unit)
        if kind.by_channel:
            held = [self._in_any_order(index, op.inputs[0], target)]
        else:
            held = [(self._whole_own if kind.plain else self._run)(index, name) for name in op.inputs]
        unit = kind.made(op, index, tuple(part.stored for part in held), shape, out_shape)
        self._append(replace(unit, output=target.stored), held, target)

    def _whole_own(self, index: int, tensor: str) -> Held:
        """All of a stored tensor, in the tensor's own shape."""
        held = self._own(index, tensor)
        return held if held.is_whole else self._gathered(index, tensor, held)

    def _in_any_order(self, index: int, tensor: str, target: Destination) -> Held:
        """Neighbouring channels for an operator that works on each by itself: it makes them in the order in which they lie."""
        held = self._own(index, tensor)
        order = np.argsort(held.channels)
        if held.is_run or not replace(held, channels=held.channels[order]).is_run:
            return self._run(index, tensor)
        self.ranks[target.member] = np.argsort(order)
        return replace(held, channels=held.channels[order])

    def _conv(self, index: int, op: Conv2d, behind: Op | None, target: Destination) -> None:
        tensor, outputs = op.inputs[0], len(op.weight)
        own, joined, pool, add = self._own(index, tensor), op, (1, 1), None
        depthwise = op.groups == outputs == own.shape[1]
        others: list[Held] = []
        if isinstance(behind, MaxPool2d):
            # clamping keeps the order of numbers: what clamps the maximum clamps each result
            joined, pool = replace(op, cut=op.cut.clamped(behind.lo, behind.hi)), behind.window.kernel
        elif isinstance(behind, Add):
            (other,) = (name for name in behind.inputs if name != op.output)
            add, others = _add_step(behind, op.output), [self._run(index, other)]
        if op.groups == 1 and not own.has_repeats:
            held, joined = own, replace(joined, weight=own.spread(joined.weight))
        elif depthwise and add is None:
            held = self._in_any_order(index, tensor, target)
            if target.member in self.ranks:
                order = np.argsort(self.ranks[target.member])
                joined = joined.in_order(order)
        else:
            held = self._run(index, tensor)
        self._linear(
            index, joined, [held, *others], target, four_axes(self.graph.shapes[(behind or op).output]), pool, add
        )

    def _transposed(self, index: int, op: ConvTranspose2d, target: Destination) -> None:
        held = self._own(index, op.inputs[0])
        if op.groups == 1 and not held.has_repeats:
            op = replace(op, weight=held.spread(op.weight))
        else:
            held = self._run(index, op.inputs[0])
        batch, _, height, width = held.shape
        shape = batch, op.weight.shape[1] * op.groups, height, width
        out_shape = four_axes(self.graph.shapes[op.output])
        self._append(TransposedUnit(index, (held.stored,), target.stored, shape, out_shape, op), [held], target)

    def _linear(
        self,
        index: int,
        op: Conv2d,
        held: Sequence[Held],
        target: Destination,
        out_shape: Shape4,
        pool: tuple[int, int] = (1, 1),
        add: AddStep | None = None,
    ) -> None:
        """A convolution with weights for all that lies from the first channel to the last."""
        batch, _, height, width = held[0].shape
        shape = batch, op.weight.shape[1] * op.groups, height, width
        inputs = tuple(part.stored for part in held)
        self._append(ConvUnit(index, inputs, target.stored, shape, out_shape, op, pool, add), held, target)

    def _dense(self, index: int, op: Dense, target: Destination) -> None:
        held = self._held(op.inputs[0])
        batch, channels, height, width = held.shape
        pixels, weight = height * width, op.weight
        if pixels == 1 and not held.has_repeats:
            weight = held.spread(weight)
        else:
            held = Held.all_of(self._whole(index, op.inputs[0]).stored, (batch, channels * pixels, 1, 1))
        out_shape = four_axes(self.graph.shapes[op.output])
        head = (index, (held.stored,), target.stored, (batch, weight.shape[1], 1, 1), out_shape)
        dense = DenseUnit(*head, weight, op.bias, op.cut, 1 if 1 in (channels, pixels) else pixels)
        if self._better_as_conv(dense):
            weight = weight.reshape(len(weight), -1, pixels).transpose(0, 2, 1).reshape(weight.shape)
            kernel = np.ascontiguousarray(weight)[:, :, None, None]
            conv = Conv2d(op.name, op.inputs, op.output, kernel, op.bias, Window((1, 1)), 1, op.cut)
            self._append(ConvUnit(*head, conv), [held], target)
        else:
            self._append(dense, [held], target)

    def _better_as_conv(self, dense: DenseUnit) -> bool:
        """A batch may fill the array's columns with images: fewer cycles than one image after the other. And a convolution need not
        have all of its inputs in the SRAM at once."""
        outputs, inputs = dense.weight.shape
        if dense.in_shape[0] == 1 or inputs > limits_of(self.arch, "CONV", "in_c")[1]:
            return False
        if dense.least_bytes(self.arch) > self.arch.sram_bytes:
            return True
        part = dense.part_steps(self.arch)[0]
        as_dense = dense.cycles(Weights(self.arch.array_rows, ()), {1: 1}, part, self.durations)
        for rows, _ in self.arch.shapes:
            sizes = Counter(BlockSize(last - first, 1, inputs) for first, last, _ in channel_blocks(outputs, 1, rows))
            fits = (inputs + 8) * (min(outputs, rows) + 1) <= self.arch.sram_bytes // 2
            if fits and conv_cycles(sizes, rows, {dense.in_shape[0]: 1}, self.durations) < as_dense:
                return True
        return False


def _add_step(op: Add, tensor: str) -> AddStep:
    """`tensor` is the convolution's."""
    mine = op.inputs.index(tensor)
    return AddStep(op.shifts[mine], op.shifts[1 - mine], op.lo, op.hi)
