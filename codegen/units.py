"""Stage `units`: the graph becomes a list of units of work on stored tensors.

A stored tensor lies in memory as (N, H, W, C). A reshape only changes how one is looked at (a `View`), because the elements keep
their (N, C, H, W) order; it costs a copy only where the bytes really have to move. A unit is a convolution with the max-pool
behind it, a dense layer, a pooling, an element-wise operator or such a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph import (
    Add,
    Clip,
    Conv2d,
    Cut,
    Dense,
    Graph,
    Int8Array,
    Int32Array,
    MaxPool2d,
    Op,
    Pad,
    Reshape,
    Shape,
    Window,
)

Shape4: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class Stored:
    """A tensor in memory: (N, C, H, W) sizes, stored channels-last, one byte an element."""

    name: str
    shape: Shape4

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class ConvStep:
    """A convolution on the array. weight (O, C / groups, kh, kw)."""

    source: int
    weight: Int8Array
    bias: Int32Array
    window: Window
    groups: int
    cut: Cut


@dataclass(frozen=True)
class PoolStep:
    """A maximum over windows; `pad_value` is what positions outside the image count as."""

    source: int
    window: Window
    pad_value: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Unit:
    """Reads stored tensors `inputs`, writes `output`; shapes are (N, C, H, W)."""

    source: int
    inputs: tuple[str, ...]
    output: str
    in_shape: Shape4
    out_shape: Shape4


@dataclass(frozen=True, eq=False)
class WindowUnit(Unit):
    """A convolution, a pooling, or a convolution with the pooling behind it; `mid_shape` lies between the two."""

    conv: ConvStep | None
    pool: PoolStep | None
    mid_shape: Shape4


@dataclass(frozen=True, eq=False)
class DenseUnit(Unit):
    """A fully connected layer; the weight's columns follow the bytes of the stored input."""

    weight: Int8Array
    bias: Int32Array
    cut: Cut


@dataclass(frozen=True, eq=False)
class EltwiseUnit(Unit):
    """Sum of shifted operands, or one operand alone, clamped."""

    shifts: tuple[int, ...]
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class RelayoutUnit(Unit):
    """The same elements in (N, C, H, W) order, stored for another shape: bytes move through DRAM."""


@dataclass(frozen=True)
class UnitGraph:
    """Units in execution order and the tensors between them. `inputs` and `outputs`: (name, caller's shape, stored tensor)."""

    units: tuple[Unit, ...]
    stored: dict[str, Stored]
    inputs: tuple[tuple[str, Shape, str], ...]
    outputs: tuple[tuple[str, Shape, str], ...]

    def __str__(self) -> str:
        lines = [f"input  {name} {shape} = {stored}" for name, shape, stored in self.inputs]
        lines += [
            f"{_describe(unit)}: {', '.join(unit.inputs)} -> {unit.output} {unit.out_shape}" for unit in self.units
        ]
        lines += [f"output {name} {shape} = {stored}" for name, shape, stored in self.outputs]
        return "\n".join(lines) + "\n"


def make_units(graph: Graph, arch: Architecture, separate: frozenset[int] = frozenset()) -> UnitGraph:
    """Lower a verified graph; the source of a unit is the index of its operator in `graph.ops`.

    The convolutions whose sources are in `separate` are kept apart from the pooling behind them.
    """
    return _Lowering(graph, arch, separate).run()


def four(shape: Shape) -> Shape4:
    """(N, C) seen as (N, C, 1, 1)."""
    n, c, h, w = (*shape, 1, 1)[:4]
    return n, c, h, w


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
        self.separate = separate
        self.units: list[Unit] = []
        self.stored: dict[str, Stored] = {}
        self.views: dict[str, tuple[str, Shape4]] = {}  # tensor -> stored tensor, whose elements it has in order
        self.done: set[str] = set()

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
        consumers = self.graph.consumers(name)
        shapes = {op.shape for op in consumers if isinstance(op, Reshape)}
        if len(shapes) == 1 and all(isinstance(op, Reshape) for op in consumers):
            return four(shapes.pop())
        return four(self.graph.shapes[name])

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
        wanted = four(self.graph.shapes[tensor])
        if same_bytes(shape, wanted):
            return name
        copy = f"{tensor}.relayout"
        self.stored[copy] = Stored(copy, wanted)
        self.units.append(RelayoutUnit(index, (name,), copy, shape, wanted))
        self.views[tensor] = (copy, wanted)
        return copy

    def _spatial(self, index: int, op: Op, inputs: tuple[str, ...]) -> None:
        in_shape, out_shape = four(self.graph.shapes[op.inputs[0]]), four(self.graph.shapes[op.output])
        if isinstance(op, Conv2d):
            self._conv(index, op, inputs, in_shape, out_shape)
            return
        self._store(op.output, out_shape)
        head = (index, inputs, op.output, in_shape, out_shape)
        if isinstance(op, MaxPool2d | Pad):
            self.units.append(WindowUnit(*head, conv=None, pool=_pool_step(index, op), mid_shape=in_shape))
        elif isinstance(op, Add):
            self.units.append(EltwiseUnit(*head, shifts=op.shifts, lo=op.lo, hi=op.hi))
        elif isinstance(op, Clip):
            self.units.append(EltwiseUnit(*head, shifts=(0,), lo=op.lo, hi=op.hi))
        else:
            raise TypeError(f"{op.name}: no lowering for {op.kind}")

    def _conv(self, index: int, op: Conv2d, inputs: tuple[str, ...], in_shape: Shape4, mid_shape: Shape4) -> None:
        step = ConvStep(index, op.weight, op.bias, op.window, op.groups, op.cut)
        pool = None if index in self.separate else self._only_pool_behind(op.output)
        if pool is None:
            self._store(op.output, mid_shape)
            self.units.append(WindowUnit(index, inputs, op.output, in_shape, mid_shape, step, None, mid_shape))
            return
        pool_index, pool_op = pool
        out_shape = four(self.graph.shapes[pool_op.output])
        self._store(pool_op.output, out_shape)
        self.done.add(pool_op.output)
        pool_step = _pool_step(pool_index, pool_op)
        self.units.append(WindowUnit(index, inputs, pool_op.output, in_shape, out_shape, step, pool_step, mid_shape))

    def _only_pool_behind(self, tensor: str) -> tuple[int, MaxPool2d] | None:
        consumers = self.graph.consumers(tensor)
        if tensor in self.graph.outputs or len(consumers) != 1 or not isinstance(consumers[0], MaxPool2d):
            return None
        return self.graph.ops.index(consumers[0]), consumers[0]

    def _dense(self, index: int, op: Dense) -> None:
        name, shape = self.views[op.inputs[0]]
        batch, channels, height, width = shape
        weight = op.weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(op.weight.shape)
        flat, out_shape = (batch, op.weight.shape[1], 1, 1), four(self.graph.shapes[op.output])
        self._store(op.output, out_shape)
        head = (index, (name,), op.output, flat, out_shape)
        if self._better_as_conv(op, batch):
            kernel = np.ascontiguousarray(weight)[:, :, None, None]
            step = ConvStep(index, kernel, op.bias, Window((1, 1)), 1, op.cut)
            self.units.append(WindowUnit(*head, conv=step, pool=None, mid_shape=out_shape))
        else:
            self.units.append(DenseUnit(*head, weight=weight, bias=op.bias, cut=op.cut))

    def _better_as_conv(self, op: Dense, batch: int) -> bool:
        """A batch may fill the array's columns with images: fewer steps than one image after the other."""
        outputs, inputs = op.weight.shape
        conv_steps = -(-outputs // self.arch.array_rows) * -(-batch // self.arch.array_columns)
        dense_steps = batch * -(-outputs // self.arch.pe_count)
        block = min(outputs, self.arch.array_rows)
        fits = inputs < 2**16 and (inputs + 8) * (block + 1) <= self.arch.sram_bytes // 4
        return bool(fits and conv_steps < dense_steps)


def _pool_step(index: int, op: MaxPool2d | Pad) -> PoolStep:
    if isinstance(op, Pad):
        return PoolStep(index, Window((1, 1), padding=op.padding), 0, -128, 127)
    return PoolStep(index, op.window, -128, op.lo, op.hi)


def _describe(unit: Unit) -> str:
    if isinstance(unit, WindowUnit):
        return "+".join(word for word, step in (("conv", unit.conv), ("pool", unit.pool)) if step)
    return type(unit).__name__.removesuffix("Unit").lower()
