"""Pass `units`: the graph becomes a list of units of work on stored tensors.

A stored tensor lies in memory as (N, H, W, C). A reshape only changes how one is looked at, because the elements keep their
(N, C, H, W) order; it costs a copy only where the bytes really have to move. A unit is a convolution with what the array's output
path does to its results (a max-pool of windows that do not overlap, or a residual addition), a dense layer, a pooling, an
element-wise operator or such a copy.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import (
    Add,
    Conv2d,
    Dense,
    MaxPool2d,
    Op,
    Reshape,
    Shape,
    Shape4,
    Window,
    four_axes,
)
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.unit.conv import AddStep, ConvUnit, conv_cycles, pools_in_output_path
from tvm_re2na.codegen.schedule.unit.dense import DenseUnit
from tvm_re2na.codegen.schedule.unit.relayout import RelayoutUnit


@dataclass(frozen=True)
class Stored:
    """A tensor in memory: (N, C, H, W) sizes, stored channels-last, one byte an element."""

    name: str
    shape: Shape4

    @property
    def bytes(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class UnitGraph:
    """Units in execution order and the tensors between them. `inputs` and `outputs`: (name, caller's shape, stored tensor)."""

    units: tuple[Unit, ...]
    stored: dict[str, Stored]
    inputs: tuple[tuple[str, Shape, str], ...]
    outputs: tuple[tuple[str, Shape, str], ...]

    def __str__(self) -> str:
        lines = [f"input  {name} {shape} = {stored}" for name, shape, stored in self.inputs]
        lines += [f"{unit.kind}: {', '.join(unit.inputs)} -> {unit.output} {unit.out_shape}" for unit in self.units]
        lines += [f"output {name} {shape} = {stored}" for name, shape, stored in self.outputs]
        return "\n".join(lines) + "\n"


def make_units(graph: Graph, arch: Architecture, separate: frozenset[int] = frozenset()) -> UnitGraph:
    """Lower a verified graph; the source of a unit is the index of its operator in `graph.ops`.

    The convolutions whose sources are in `separate` are kept apart from the pooling or addition behind them.
    """
    return _Lowering(graph, arch, separate).run()


def same_bytes(first: Shape4, second: Shape4) -> bool:
    """Whether the same elements, stored channels-last for either shape, lie in the same order."""
    if first == second:
        return True
    plain = all(shape[1] == 1 or shape[2] * shape[3] == 1 for shape in (first, second))
    return plain or (first[1] == second[1] and first[2] * first[3] == second[2] * second[3])


class _Lowering:
    def __init__(self, graph: Graph, arch: Architecture, separate: frozenset[int]) -> None:
        self.graph = graph
        self.arch = arch
        self.durations = Durations(arch)
        self.separate = separate
        self.units: list[Unit] = []
        self.stored: dict[str, Stored] = {}
        self.views: dict[str, tuple[str, Shape4]] = {}  # tensor -> stored tensor, whose elements it has in order
        self.done: set[str] = set()
        self.consumers: dict[str, list[Op]] = {}
        for op in graph.ops:
            for name in dict.fromkeys(op.inputs):
                self.consumers.setdefault(name, []).append(op)

    def run(self) -> UnitGraph:
        graph = self.graph
        for name in graph.inputs:
            self._store(name, self._input_shape(name))
        for index, op in enumerate(graph.ops):
            if op.output not in self.done:
                self._lower(index, op)
        inputs = tuple((name, graph.shapes[name], name) for name in graph.inputs)
        outputs = tuple((name, graph.shapes[name], self.views[name][0]) for name in graph.outputs)
        return UnitGraph(tuple(self.units), self.stored, inputs, outputs)

    def _input_shape(self, name: str) -> Shape4:
        """An input that is only ever reshaped is stored for the reshaped form: the border does the work."""
        consumers = self.consumers.get(name, [])
        shapes = {op.shape for op in consumers if isinstance(op, Reshape)}
        if len(shapes) == 1 and all(isinstance(op, Reshape) for op in consumers):
            return four_axes(shapes.pop())
        return four_axes(self.graph.shapes[name])

    def _store(self, name: str, shape: Shape4) -> None:
        self.stored[name] = Stored(name, shape)
        self.views[name] = (name, shape)

    def _lower(self, index: int, op: Op) -> None:
        if isinstance(op, Reshape):
            self.views[op.output] = self.views[op.inputs[0]]
        elif isinstance(op, Dense):
            self._dense(index, op)
        else:
            inputs = tuple(self._materialise(index, name) for name in op.inputs)
            self._spatial(index, op, inputs)

    def _materialise(self, index: int, tensor: str) -> str:
        """The stored tensor that holds `tensor` in the byte order of its own shape, made by a copy if there is none."""
        name, shape = self.views[tensor]
        wanted = four_axes(self.graph.shapes[tensor])
        if same_bytes(shape, wanted):
            return name
        copy = f"{tensor}.relayout"
        self.stored[copy] = Stored(copy, wanted)
        self.units.append(RelayoutUnit(index, (name,), copy, shape, wanted))
        self.views[tensor] = (copy, wanted)
        return copy

    def _spatial(self, index: int, op: Op, inputs: tuple[str, ...]) -> None:
        in_shape, out_shape = four_axes(self.graph.shapes[op.inputs[0]]), four_axes(self.graph.shapes[op.output])
        if isinstance(op, Conv2d):
            self._conv(index, op, inputs, in_shape, out_shape)
            return
        self._store(op.output, out_shape)
        self.units.append(Unit.made_of.get(type(op), Unit).made(op, index, inputs, in_shape, out_shape))

    def _conv(self, index: int, op: Conv2d, inputs: tuple[str, ...], in_shape: Shape4, conv_shape: Shape4) -> None:
        behind = None if index in self.separate else self._only_consumer(op.output)
        if isinstance(behind, MaxPool2d) and pools_in_output_path(behind.window, self.arch):
            step = replace(op, cut=op.cut.clamped(behind.lo, behind.hi))  # clamping keeps the order
            pool, add = behind.window.kernel, None
        elif isinstance(behind, Add) and self._other_operand(behind, op.output) is not None:
            other = self._other_operand(behind, op.output) or ""
            inputs = (*inputs, self.views[other][0])
            step, pool, add = op, (1, 1), _add_step(behind, op.output)
        else:
            behind, step, pool, add = op, op, (1, 1), None
        out_shape = four_axes(self.graph.shapes[behind.output]) if behind is not op else conv_shape
        self._store(behind.output, out_shape)
        self.done.add(behind.output)
        self.units.append(ConvUnit(index, inputs, behind.output, in_shape, out_shape, step, pool, add))

    def _only_consumer(self, tensor: str) -> Op | None:
        consumers = self.consumers.get(tensor, [])
        return consumers[0] if tensor not in self.graph.outputs and len(consumers) == 1 else None

    def _other_operand(self, op: Add, tensor: str) -> str | None:
        """The operand besides `tensor`, if it is another one, has been computed already, and lies in memory in its own shape."""
        others = [name for name in op.inputs if name != tensor]
        if len(others) != 1 or others[0] not in self.views:
            return None
        return others[0] if self.views[others[0]][1] == four_axes(self.graph.shapes[others[0]]) else None

    def _dense(self, index: int, op: Dense) -> None:
        name, (batch, channels, height, width) = self.views[op.inputs[0]]
        pixels = height * width
        flat, out_shape = (batch, op.weight.shape[1], 1, 1), four_axes(self.graph.shapes[op.output])
        self._store(op.output, out_shape)
        head = (index, (name,), op.output, flat, out_shape)
        dense = DenseUnit(*head, op.weight, op.bias, op.cut, 1 if 1 in (channels, pixels) else pixels)
        if self._better_as_conv(op, dense):
            weight = op.weight.reshape(-1, channels, pixels).transpose(0, 2, 1).reshape(op.weight.shape)
            kernel = np.ascontiguousarray(weight)[:, :, None, None]
            conv = Conv2d(op.name, op.inputs, op.output, kernel, op.bias, Window((1, 1)), 1, op.cut)
            self.units.append(ConvUnit(*head, conv))
        else:
            self.units.append(dense)

    def _better_as_conv(self, op: Dense, dense: DenseUnit) -> bool:
        """A batch may fill the array's columns with images: fewer cycles than one image after the other."""
        outputs, inputs = op.weight.shape
        if dense.in_shape[0] == 1 or inputs > limits_of(self.arch, "CONV", "in_c")[1]:
            return False
        part = dense.part_steps(self.arch)[0]
        as_dense = dense.cycles(Weights(self.arch.array_rows, ()), {1: 1}, part, self.durations)
        for rows, _ in self.arch.shapes:
            sizes = Counter((last - first, 1, inputs) for first, last, _ in channel_blocks(outputs, 1, rows))
            fits = (inputs + 8) * (min(outputs, rows) + 1) <= self.arch.sram_bytes // 4
            if fits and conv_cycles(sizes, rows, {dense.in_shape[0]: 1}, self.durations) < as_dense:
                return True
        return False


def _add_step(op: Add, tensor: str) -> AddStep:
    """`tensor` is the convolution's."""
    mine = op.inputs.index(tensor)
    return AddStep(op.shifts[mine], op.shifts[1 - mine], op.lo, op.hi)
