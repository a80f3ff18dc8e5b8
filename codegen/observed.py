"""A program that shows what lies between its operators: the same instructions at the same addresses, and beside them STOREs that
copy to DRAM what each unit has made, as soon as it is there and before anything overwrites it.

What an instruction computes does not depend on when it starts, so the bits are those of the program itself; its cycles and its DRAM
traffic are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.compiler import Compilation, addresses_of, compile_in_passes
from tvm_re2na.codegen.emit.draft import Draft, FinishedRows, Place, copy
from tvm_re2na.codegen.emit.tokens import Step, add_tokens
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Flags, Int8Array, Shape
from tvm_re2na.codegen.plan import Plan
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.codegen.schedule.units import Held


@dataclass(frozen=True)
class ObservedTensor:
    """A tensor of the graph: its `shape`, the number of the output in which it lies, and where in it. `made`: bool, which elements
    of that output exist; rows that nobody reads need not."""

    name: str
    shape: Shape
    output: int
    held: Held
    made: Flags

    def read(self, outputs: Sequence[Int8Array]) -> Int8Array:
        """Of one run: int8, of `shape`."""
        return outputs[self.output][:, self.held.channels].reshape(self.shape)

    def exists(self) -> Flags:
        """Which of its elements exist, of `shape`."""
        return self.made[:, self.held.channels].reshape(self.shape)


@dataclass(frozen=True)
class ObservedProgram:
    """`program`: the outputs of `original`, and behind them everything that is observed. Tensors that exist within a unit alone
    (the result of a convolution of which its output path keeps the maximum or to which it adds) are not among `tensors`."""

    original: Program
    program: Program
    tensors: tuple[ObservedTensor, ...]


def observe(graph: Graph, arch: Architecture | None = None) -> ObservedProgram:
    """Compile a graph, and show what its program computes. Raises as `compile_graph`."""
    done = compile_in_passes(graph, arch)
    plan, program = done.plan, done.program
    finished = [draft.finishes for draft in plan.drafts if draft.finishes is not None]
    names = list(dict.fromkeys(rows.tensor for rows in finished))
    outputs, end = [], aligned(done.layout.dram_bytes)
    for name in names:
        stored = plan.graph.stored[name]
        outputs.append(ProgramTensor(name, stored.shape, stored.shape, end))
        end += aligned(stored.bytes)
    instructions = add_tokens(list(_steps(done, {tensor.name: tensor.address for tensor in outputs})))
    shown = replace(
        program, instructions=tuple(instructions), outputs=(*program.outputs, *outputs), dram_bytes=max(end, 1)
    )
    numbers = {name: len(program.outputs) + index for index, name in enumerate(names)}
    return ObservedProgram(program, shown, tuple(_tensors(done, numbers, finished)))


def _steps(done: Compilation, observed: dict[str, int]) -> Iterator[Step]:
    """The program's own, each followed by what shows that which it has finished."""
    addresses = addresses_of(done.plan, done.layout) | {
        ("dram", ("observed", name)): at for name, at in observed.items()
    }
    for draft in done.plan.drafts:
        yield draft.bind(addresses)
        if draft.finishes is not None:
            yield from (store.bind(addresses) for store in _stores(done.plan, draft.source, draft.finishes))


def _stores(plan: Plan, source: int, made: FinishedRows) -> Iterator[Draft]:
    """A STORE for each image: runs of channels, pixels of a row, rows."""
    _, total, height, width = plan.graph.stored[made.tensor].shape
    (top, bottom), (left, right), (first, last) = made.rows, made.columns, made.channels
    for image in range(made.images):
        start = (((made.first_image + image) * height + top) * width + left) * total + first
        dram = Place("dram", ("observed", made.tensor), start)
        sram = replace(made.place, offset=made.place.offset + image * made.image)
        strides = total, made.pixel, bottom - top, width * total, made.row
        yield copy("STORE", source, dram, sram, right - left, last - first, *strides)


def _tensors(done: Compilation, numbers: dict[str, int], finished: Sequence[FinishedRows]) -> Iterator[ObservedTensor]:
    graph = done.plan.graph
    made = {name: np.zeros(graph.stored[name].shape, np.bool_) for name in numbers}
    for rows in finished:
        images = slice(rows.first_image, rows.first_image + rows.images)
        made[rows.tensor][images, slice(*rows.channels), slice(*rows.rows), slice(*rows.columns)] = True
    for name, held in graph.held.items():
        if held.stored in numbers:
            yield ObservedTensor(name, done.graph.shapes[name], numbers[held.stored], held, made[held.stored])
