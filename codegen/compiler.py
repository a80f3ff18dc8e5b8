"""The compiler: a list of passes, each a function of the one before, with its dump.

graph   what the front end handed over            units   units of work on stored tensors
fold    padding and clips folded                  plan    stages, strips, SRAM addresses, when to load
layout  DRAM addresses                            listing the instructions with their tokens
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.tokens import Step, add_tokens
from tvm_re2na.codegen.errors import CompileError, UnitTooLarge
from tvm_re2na.codegen.graph.bounds import NetworkBounds, network_bounds
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.encoding import EncodeError
from tvm_re2na.codegen.layout import DramLayout, lay_out
from tvm_re2na.codegen.passes import PASSES
from tvm_re2na.codegen.plan import Plan, make_plan
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator
from tvm_re2na.codegen.schedule.units import make_units

Dump = Callable[[str, str], None]
LOGGER = logging.getLogger(__name__)

__all__ = ["PASSES", "CompileError", "compile_graph"]


def compile_graph(graph: Graph, arch: Architecture | None = None, *, dump: Dump | None = None) -> Program:
    """Compile a graph for a machine (the default one if `arch` is None).

    `dump(name, text)` is called after each pass. Raises GraphError for a graph that breaks the graph's rules, and CompileError
    for one that does not fit the machine.
    """
    return compile_in_passes(graph, arch, dump=dump).program


@dataclass(frozen=True)
class Compilation:
    """A program and what the passes made on the way to it; `graph` is the folded one."""

    graph: Graph
    plan: Plan
    layout: DramLayout
    program: Program


def compile_in_passes(graph: Graph, arch: Architecture | None = None, *, dump: Dump | None = None) -> Compilation:
    """`compile_graph`, with all that is known of the program."""
    arch = arch or Architecture()

    def show(name: str, text: Callable[[], str]) -> None:
        LOGGER.debug("%s: %s, %.3f s after the start", graph.name, name, time.perf_counter() - started)
        if dump is not None:
            dump(name, text())

    started = time.perf_counter()
    graph.verify(arch)
    show("graph", graph.__str__)
    folded = fold(graph)
    folded.verify(arch)
    show("fold", folded.__str__)
    bounds = network_bounds(folded, arch)
    plan = _plan(folded, arch, bounds.cycles)
    show("units", plan.graph.__str__)
    show("plan", plan.__str__)
    layout = lay_out(plan)
    show("layout", layout.__str__)
    instructions = _instructions(plan, layout, folded)
    program = _program(folded, plan, bounds, layout, instructions, time.perf_counter() - started)
    show("listing", lambda: "".join(f"{instruction}\n" for instruction in instructions))
    return Compilation(folded, plan, layout, program)


def _plan(graph: Graph, arch: Architecture, goal: int) -> Plan:
    """What is brought side by side takes its room from the first part that is made: where that went to DRAM, it may be cheaper to
    copy what others read as well."""
    best, parted = _fitting(graph, arch, goal, frozenset()), frozenset[int]()
    plan = best
    while (
        spilled := {index for index, stored in plan.graph.concats.items() if stored in plan.residence.stored} - parted
    ):
        parted |= spilled
        plan = _fitting(graph, arch, goal, parted)
        best = min(best, plan, key=lambda plan: plan.cost)
    return best


def _fitting(graph: Graph, arch: Architecture, goal: int, parted: frozenset[int]) -> Plan:
    """A convolution with what follows it in the output path needs more room than alone: where the pair does not fit, they part."""
    separate: frozenset[int] = frozenset()
    while True:
        units = make_units(graph, arch, separate, parted)
        try:
            return make_plan(units, arch, lambda unit: graph.ops[unit.source].name, goal)
        except UnitTooLarge as error:
            joined = {unit.source for unit in units.units if unit.is_joined}
            if error.source not in joined:
                raise
            separate |= {error.source}


def bind(plan: Plan, layout: DramLayout) -> list[Step]:
    """The plan's drafts with their addresses, without tokens; raises EncodeError where a field is out of range."""
    addresses = addresses_of(plan, layout)
    return [draft.bind(addresses) for draft in plan.drafts]


def addresses_of(plan: Plan, layout: DramLayout) -> dict[tuple[str, Hashable], int]:
    """Of every buffer and piece of DRAM, by memory and name."""
    addresses = {("sram", key): address for key, address in plan.addresses.items()}
    return addresses | {("dram", key): address for key, address in layout.addresses.items()}


def _instructions(plan: Plan, layout: DramLayout, graph: Graph) -> list[Instruction]:
    try:
        return add_tokens(bind(plan, layout))
    except EncodeError as error:
        raise CompileError(f"{graph.name}: {error}") from error


def _program(
    graph: Graph, plan: Plan, bounds: NetworkBounds, layout: DramLayout, instructions: list[Instruction], seconds: float
) -> Program:
    def tensors(border: tuple[tuple[str, tuple[int, ...], str], ...]) -> tuple[ProgramTensor, ...]:
        stored = plan.graph.stored
        return tuple(
            ProgramTensor(name, shape, stored[place].shape, layout.addresses[("tensor", place)])
            for name, shape, place in border
        )

    meta = {
        "graph": graph.name,
        "layers": [vars(bound) for bound in bounds.layers],
        "total": {
            "cycles_bound": bounds.cycles,
            "dram_bytes_compulsory": bounds.dram_bytes,
            "dram_bytes_forced": bounds.forced_bytes,
            "weight_bytes": bounds.weight_bytes,
            "sram_peak_bytes": plan.sram_peak,
            "sram_bound_bytes": plan.sram_bound,
        },
    }
    return Program(
        arch=plan.arch,
        inputs=tensors(plan.graph.inputs),
        outputs=tensors(plan.graph.outputs),
        instructions=tuple(instructions),
        constants=layout.constants,
        constants_address=0,
        dram_bytes=layout.dram_bytes,
        sources=tuple(SourceOperator(op.name, op.kind, graph.macs(op)) for op in graph.ops),
        meta=meta,
        compile_seconds=seconds,
    )
