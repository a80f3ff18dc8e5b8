"""The one step that finds everything a report shows: quantise, compare, explain, compile; then figures by layer and over time."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_re2na import evaluate, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Engine
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataSource
from tvm_re2na.identity import versions
from tvm_re2na.model_file import ModelSource
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.progress import Progress, shown
from tvm_re2na.quantize.report import QuantizationReport
from tvm_re2na.reporting.document import Costs, Layer, MachineField, Numbers, Region, RunReport, SramBlock, Token, Work
from tvm_re2na.reporting.reading import read_survey
from tvm_re2na.reporting.wiring import Wires, wires_of
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.live_bytes import live_bytes
from tvm_re2na.runtime.report import compile_report
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.sram_map import sram_map
from tvm_re2na.runtime.timeline import carries, pieces
from tvm_re2na.runtime.tokens import givers


def report(
    model: ModelSource,
    data: DataSource,
    calibration: DataSource | None = None,
    arch: Architecture | None = None,
    *,
    input_shape: InputShape | None = None,
    preprocessing: Preprocessing | None = None,
    batch: int = 1,
    survey: str | os.PathLike[str] | None = None,
    title: str | None = None,
    data_title: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RunReport:
    """Everything that is known of a model's run on Re²Na; `save("report.html")` of the result writes the page.

    Arguments are those of `compare`, further ones (`limit`, `jobs`, ...) among them. `survey`: a file of `survey bits --json`.
    `title`, `data_title`: by default the names of the files. Raises as `compare`, and ReportError where `survey` is no survey.
    """
    arch, widths = arch or Architecture(), () if survey is None else read_survey(survey)
    proto = pipeline.opened(model, input_shape)
    known = None
    if calibration is not None:
        known = pipeline.calibration_images(calibration, proto, preprocessing=preprocessing)
    with shown(progress) as bar:
        chosen = None if pipeline.is_quantized(proto) else pipeline.quantize(proto, known, arch, bar)
        quantized = proto if chosen is None else chosen.model
        common: dict[str, Any] = {"preprocessing": preprocessing, "batch": batch, "progress": bar, **options}
        compared = evaluate.compare(proto, data, known, arch, quantized=quantized, **common)
        mod, params = pipeline.import_into_tvm(quantized, batch)
        operators = pipeline.explain(mod, params, arch)
        compiled = pipeline.compile_for_re2na(mod, params, arch)
    programs = [program for _, program in compiled.programs]
    places = places_of(programs, operators)
    regions, peaks = _regions(programs, places)
    figures = compile_report(programs, compiled.border_bytes)
    return RunReport(
        title=title or _name(model, proto.graph.name),
        data=data_title or _name(data, "images"),
        batch=batch,
        given_quantized=chosen is None,
        comparison=compared.to_json(),
        total=figures["total"] | {"offloaded_macs_share": compiled.offloaded_macs_share},
        layers=_layers(
            operators,
            wires_of(quantized, operators, batch),
            dict(zip(itertools.chain(*places), map(_costs, figures["layers"], peaks), strict=True)),
            {} if chosen is None else _numbers(chosen.report),
        ),
        regions=tuple(regions),
        machine=machine(arch),
        versions=tuple(versions().split(", ")),
        kept_float=() if chosen is None else chosen.report.kept_float,
        widths=widths,
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


def _name(source: Any, otherwise: str) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else otherwise


def _numbers(report: QuantizationReport) -> dict[str, Numbers]:
    names = [field.name for field in dataclasses.fields(Numbers)]
    return {layer.name: Numbers(**{name: getattr(layer, name) for name in names}) for layer in report.layers}


def _costs(row: dict[str, Any], sram_peak_bytes: int) -> Costs:
    names = [field.name for field in dataclasses.fields(Costs) if field.name in row]
    return Costs(**{name: row[name] for name in names}, sram_peak_bytes=sram_peak_bytes)


def _layers(
    operators: Sequence[Explanation], wires: Sequence[Wires], costs: dict[int, Costs], numbers: dict[str, Numbers]
) -> tuple[Layer, ...]:
    return tuple(
        Layer(
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


def _regions(programs: Sequence[Program], places: Sequence[Sequence[int]]) -> tuple[list[Region], list[int]]:
    """The run of each program, one after the other, and the most live bytes while each source operator has the array."""
    regions: list[Region] = []
    peaks: list[int] = []
    start = 0
    for program, own in zip(programs, places, strict=True):
        timing = LoadedProgram(program).timing
        regions.append(_region(program, timing, own, start))
        peaks += _peaks(regions[-1], own)
        start += timing.cycles
    return regions, peaks


def _region(program: Program, timing: Timing, places: Sequence[int], start: int) -> Region:
    blocks = (
        SramBlock(places[at.source], at.kind, at.start, at.stop, start + at.since, start + at.until)
        for at in sram_map(program, timing)
    )
    return Region(
        start,
        timing.cycles,
        tuple(_work(program, timing, places, start)),
        tuple(_tokens(program, timing, places, start)),
        tuple(blocks),
        tuple((start + cycle, live) for cycle, live in live_bytes(program, timing)),
    )


def _work(program: Program, timing: Timing, places: Sequence[int], start: int) -> list[Work]:
    """Of the array every cycle by its cause; of transfers the time on the bus."""
    found = [
        Work("ARRAY", places[piece.source], piece.cause, start + piece.start, start + piece.start + piece.cycles)
        for piece in pieces(program, timing)
        if piece.cycles
    ]
    for at, span in zip(program.instructions, timing.instructions, strict=True):
        if at.engine is not Engine.ARRAY:
            begin, over = start + span.start, start + span.finish - program.arch.dram_latency
            moved = meaning(at).operands(program.arch, at).dram
            found.append(Work(at.engine.name, places[at.source], carries(program, at), begin, over, moved))
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


def _peaks(region: Region, places: Sequence[int]) -> list[int]:
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
