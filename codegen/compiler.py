"""The compiler: a list of stages, each a function of the one before, with its dump.

graph   what the front end handed over            units   units of work on stored tensors
fold    padding and clips folded                  plan    tiles, residency, SRAM addresses
layout  DRAM addresses                            listing the instructions with their tokens
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bounds import layer_bounds, total_bound
from tvm_re2na.codegen.emit import emit
from tvm_re2na.codegen.errors import CompileError, UnitTooLarge
from tvm_re2na.codegen.fold import fold
from tvm_re2na.codegen.graph import Graph
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.encoding import EncodeError
from tvm_re2na.codegen.layout import DramLayout, lay_out
from tvm_re2na.codegen.plan import Plan, make_plan
from tvm_re2na.codegen.program import Program, ProgramTensor, Source
from tvm_re2na.codegen.sync import add_tokens
from tvm_re2na.codegen.units import WindowUnit, make_units

STAGES = ("graph", "fold", "units", "plan", "layout", "listing")
Dump = Callable[[str, str], None]

__all__ = ["STAGES", "CompileError", "compile_graph"]


def compile_graph(graph: Graph, arch: Architecture | None = None, *, dump: Dump | None = None) -> Program:
    """Compile a graph for a machine (the default one if `arch` is None).

    `dump(stage, text)` is called after each stage. Raises GraphError for a graph that breaks the graph's rules, and CompileError
    for one that does not fit the machine.
    """
    arch = arch or Architecture()
    show = dump or (lambda stage, text: None)
    started = time.perf_counter()
    graph.verify(arch)
    show("graph", str(graph))
    folded = fold(graph)
    folded.verify(arch)
    show("fold", str(folded))
    plan = _plan(folded, arch)
    show("units", str(plan.graph))
    show("plan", str(plan))
    layout = lay_out(plan)
    show("layout", _layout_text(layout))
    instructions = _instructions(plan, layout, folded, arch)
    program = _program(folded, plan, layout, instructions, arch, time.perf_counter() - started)
    show("listing", "".join(f"{instruction}\n" for instruction in instructions))
    return program


def _plan(graph: Graph, arch: Architecture) -> Plan:
    """A convolution with its pooling needs more room than either alone: where the pair does not fit, they part."""
    separate: frozenset[int] = frozenset()
    while True:
        units = make_units(graph, arch, separate)
        try:
            return make_plan(units, arch, lambda unit: graph.ops[unit.source].name)
        except UnitTooLarge as error:
            unit = units.units[error.unit]
            if not isinstance(unit, WindowUnit) or unit.conv is None or unit.pool is None:
                raise
            separate |= {unit.source}


def _instructions(plan: Plan, layout: DramLayout, graph: Graph, arch: Architecture) -> list[Instruction]:
    try:
        return add_tokens(emit(plan, layout, arch))
    except EncodeError as error:
        raise CompileError(f"{graph.name}: {error}") from error


def _program(
    graph: Graph, plan: Plan, layout: DramLayout, instructions: list[Instruction], arch: Architecture, seconds: float
) -> Program:
    def tensors(border: tuple[tuple[str, tuple[int, ...], str], ...]) -> tuple[ProgramTensor, ...]:
        stored = plan.graph.stored
        return tuple(
            ProgramTensor(name, shape, stored[place].shape, layout.tensors[place]) for name, shape, place in border
        )

    cycles, traffic = total_bound(graph, arch)
    meta = {
        "graph": graph.name,
        "layers": [vars(bound) for bound in layer_bounds(graph, arch)],
        "total": {
            "cycles_bound": cycles,
            "dram_bytes_compulsory": traffic,
            "sram_peak_bytes": plan.sram_peak,
        },
    }
    return Program(
        arch=arch,
        inputs=tensors(plan.graph.inputs),
        outputs=tensors(plan.graph.outputs),
        instructions=tuple(instructions),
        constants=layout.constants,
        constants_address=0,
        dram_bytes=layout.dram_bytes,
        sources=tuple(Source(op.name, op.kind, graph.macs(op)) for op in graph.ops),
        meta=meta,
        compile_seconds=seconds,
    )


def _layout_text(layout: DramLayout) -> str:
    lines = [f"constants {len(layout.constants)} bytes at 0"]
    lines += [f"{name} at {address}" for name, address in layout.tensors.items()]
    lines += [f"scratch of unit {unit} at {address}" for unit, address in layout.scratch.items()]
    return "\n".join([*lines, f"dram {layout.dram_bytes} bytes"]) + "\n"
