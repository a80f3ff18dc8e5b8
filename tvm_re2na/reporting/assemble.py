"""From what the steps found to the document: figures by layer, and everything over time."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Engine
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.codegen.program import Program
from tvm_re2na.quantize.report import QuantizationReport
from tvm_re2na.reporting.document import (
    Costs,
    EngineWork,
    MachineField,
    Numbers,
    RegionRun,
    ReportLayer,
    RunReport,
    SramBlock,
    Token,
    WidthRow,
)
from tvm_re2na.reporting.wiring import Wires
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.live_bytes import live_bytes
from tvm_re2na.runtime.report import compile_report
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.sram_map import sram_map
from tvm_re2na.runtime.timeline import carries, pieces
from tvm_re2na.runtime.tokens import givers


@dataclass(frozen=True)
class Findings:
    """What each step found, `operators`, `wires` and `programs` in the order of execution; the rest as in `RunReport`."""

    title: str
    data: str
    batch: int
    given_quantized: bool
    comparison: dict[str, Any]
    operators: Sequence[Explanation]
    wires: Sequence[Wires]
    programs: Sequence[Program]
    border_bytes: int
    offloaded_macs_share: float
    arch: Architecture
    versions: Sequence[str]
    quantisation: QuantizationReport | None = None
    widths: tuple[WidthRow, ...] = ()
    made: dict[str, str] = dataclasses.field(default_factory=dict)


def assemble(found: Findings) -> RunReport:
    """The document."""
    places = places_of(found.programs, found.operators)
    regions, peaks = _regions(found.programs, places)
    figures, chosen = compile_report(found.programs, found.border_bytes), found.quantisation
    costs = dict(zip(itertools.chain(*places), map(_costs, figures["layers"], peaks), strict=True))
    return RunReport(
        title=found.title,
        data=found.data,
        batch=found.batch,
        given_quantized=found.given_quantized,
        comparison=found.comparison,
        total=figures["total"] | {"offloaded_macs_share": found.offloaded_macs_share},
        layers=_layers(found.operators, found.wires, costs, {} if chosen is None else _numbers(chosen)),
        regions=tuple(regions),
        machine=machine(found.arch),
        versions=tuple(found.versions),
        kept_float=() if chosen is None else chosen.kept_float,
        widths=found.widths,
        made=found.made,
    )


def machine(arch: Architecture) -> tuple[MachineField, ...]:
    """Every number of a machine with what is known of it."""
    found, own = [], Architecture()
    for field in dataclasses.fields(arch):
        value, meta = getattr(arch, field.name), field.metadata
        text = value.name.lower() if isinstance(value, enum.IntEnum) else f"{value:,}"
        found.append(
            MachineField(
                field.name, int(value), text, meta["unit"], meta["kind"], meta["source"], int(getattr(own, field.name))
            )
        )
    return tuple(found)


def places_of(programs: Sequence[Program], operators: Sequence[Explanation]) -> list[list[int]]:
    """Where the source operators of each program stand in the list of all operators. What the compiler has folded into a neighbour
    is in that list only."""
    found = []
    for region, program in enumerate(programs):
        own = deque(place for place, operator in enumerate(operators) if operator.region == region)
        names = {source.name for source in program.sources}
        kept = deque(place for place in own if operators[place].name in names)
        if len(kept) != len(program.sources):
            kept = own
        found.append([kept.popleft() if len(kept) > 1 else kept[0] for _ in program.sources])
    return found


def _numbers(report: QuantizationReport) -> dict[str, Numbers]:
    names = [field.name for field in dataclasses.fields(Numbers)]
    return {layer.name: Numbers(**{name: getattr(layer, name) for name in names}) for layer in report.layers}


def _costs(row: dict[str, Any], sram_peak_bytes: int) -> Costs:
    names = [field.name for field in dataclasses.fields(Costs) if field.name in row]
    return Costs(**{name: row[name] for name in names}, sram_peak_bytes=sram_peak_bytes)


def _layers(
    operators: Sequence[Explanation], wires: Sequence[Wires], costs: dict[int, Costs], numbers: dict[str, Numbers]
) -> tuple[ReportLayer, ...]:
    return tuple(
        ReportLayer(
            name=operator.name,
            op=operator.op,
            offloaded=operator.offloaded,
            region=operator.region,
            rule=operator.rule,
            reason=operator.reason,
            value=operator.value,
            limit=operator.limit,
            **vars(wire),
            costs=costs.get(place),
            numbers=numbers.get(operator.name),
        )
        for place, (operator, wire) in enumerate(zip(operators, wires, strict=True))
    )


def _regions(programs: Sequence[Program], places: Sequence[Sequence[int]]) -> tuple[list[RegionRun], list[int]]:
    """The run of each program, one after the other, and the most live bytes while each source operator has the array."""
    regions: list[RegionRun] = []
    peaks: list[int] = []
    start = 0
    for program, own in zip(programs, places, strict=True):
        timing = LoadedProgram(program).timing
        regions.append(_region(program, timing, own, start))
        peaks += _peaks(regions[-1], own)
        start += timing.cycles
    return regions, peaks


def _region(program: Program, timing: Timing, places: Sequence[int], start: int) -> RegionRun:
    blocks = (
        SramBlock(places[at.source], at.kind, at.start, at.stop, start + at.since, start + at.until)
        for at in sram_map(program, timing)
    )
    return RegionRun(
        start,
        timing.cycles,
        tuple(_work(program, timing, places, start)),
        tuple(_tokens(program, timing, places, start)),
        tuple(blocks),
        tuple((start + cycle, live) for cycle, live in live_bytes(program, timing)),
    )


def _work(program: Program, timing: Timing, places: Sequence[int], start: int) -> list[EngineWork]:
    """Of the array every cycle by its cause; of transfers the time on the bus."""
    found = [
        EngineWork("ARRAY", places[piece.source], piece.cause, start + piece.start, start + piece.start + piece.cycles)
        for piece in pieces(program, timing)
        if piece.cycles
    ]
    for at, span in zip(program.instructions, timing.instructions, strict=True):
        if at.engine is not Engine.ARRAY:
            begin, over = start + span.start, start + span.finish - program.arch.dram_latency
            moved = meaning(at).operands(program.arch, at).dram
            found.append(EngineWork(at.engine.name, places[at.source], carries(program, at), begin, over, moved))
    return found


def _tokens(program: Program, timing: Timing, places: Sequence[int], start: int) -> list[Token]:
    found = []
    for taker, given in enumerate(givers(program.instructions)):
        to, begin = program.instructions[taker], timing.instructions[taker].start
        for giver in given if to.name != "HALT" else ():
            by, end = program.instructions[giver], timing.instructions[giver].finish
            ends = by.engine.name, start + end, places[by.source], to.engine.name, start + begin, places[to.source]
            found.append(Token(*ends))
    return found


def _peaks(region: RegionRun, places: Sequence[int]) -> list[int]:
    """The most live bytes during the cycles that the array has for each operator; 0 for one that has none."""
    best = dict.fromkeys(places, 0)
    steps, index = region.live, 0
    for work in (each for each in region.work if each.engine == "ARRAY"):  # in the order of time
        while index + 1 < len(steps) and steps[index + 1][0] <= work.start:
            index += 1
        seen = index
        while seen < len(steps) and steps[seen][0] < work.finish:
            best[work.layer] = max(best[work.layer], steps[seen][1])
            seen += 1
    return [best[place] for place in places]
