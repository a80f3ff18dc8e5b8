"""A run as tracks over time: what each engine does, what the array works for, what is in flight, and counters. Times are cycles.

Nothing is run: spans come from the timing model, arrows from the tokens, layers and causes from `timeline.py`, live bytes from
`live_bytes.py`. docs/trace.md says how to read it, and `tvm_re2na/trace_file.py` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction
from tvm_re2na.codegen.isa.assembler import source_name
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.live_bytes import live_bytes
from tvm_re2na.runtime.result import Span, Timing
from tvm_re2na.runtime.timeline import CAUSES, TimelinePiece, carries, pieces
from tvm_re2na.runtime.tokens import givers

Note: TypeAlias = int | str

ENGINE_DOCS = {
    Engine.LOAD: "DRAM to SRAM: a slice is the time that the transfer has the DRAM bus",
    Engine.ARRAY: "the MAC array, which does one instruction after the other",
    Engine.STORE: "SRAM to DRAM: a slice is the time that the transfer has the DRAM bus",
}
LATENCY_DOC = (
    "from the end of a transfer on the bus until it has finished and gives its tokens (dram_latency); several at a time"
)
LAYERS_DOC = "the operator that the array works or waits for, and where its cycles go, as in `re2na compile --report`"
SRAM_DOC = "bytes of the SRAM that somebody is yet to read, or that are being written"
BANDWIDTH_DOC = "bytes over the DRAM bus in a cycle"


@dataclass(frozen=True)
class TraceSlice:
    """Something from cycle `start` to `finish`, with slices inside it. `gives` and `takes`: numbers of tokens; each is once in
    either, of two slices."""

    name: str
    start: int
    finish: int
    notes: dict[str, Note] = field(default_factory=dict)
    gives: tuple[int, ...] = ()
    takes: tuple[int, ...] = ()
    inside: tuple[TraceSlice, ...] = ()


@dataclass(frozen=True)
class SliceTrack:
    """Slices that do not overlap, in the order of time. Tracks of one name belong together. `engine`: whose timeline
    it is."""

    name: str
    doc: str
    slices: tuple[TraceSlice, ...]
    engine: Engine | None = None


@dataclass(frozen=True)
class CounterTrack:
    """(cycle, value from then on), ascending; a value differs from the one before it."""

    name: str
    doc: str
    unit: str
    steps: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Trace:
    """Of one run, which takes `cycles`."""

    name: str
    clock_mhz: int
    cycles: int
    tracks: tuple[SliceTrack, ...]
    counters: tuple[CounterTrack, ...]


def trace(program: Program, timing: Timing, name: str | None = None) -> Trace:
    """The same for every run, whatever the data. `name`: by default that of the program's graph."""
    return Trace(
        name or str(program.meta.get("graph", "program")),
        program.arch.clock_mhz,
        timing.cycles,
        (*_layers(program, timing), *_engines(program, timing), *_latencies(program, timing)),
        tuple(_counters(program, timing)),
    )


def _bus(program: Program, span: Span) -> Span:
    """When a transfer has the bus."""
    return Span(span.start, span.finish - program.arch.dram_latency)


def _engines(program: Program, timing: Timing) -> Iterator[SliceTrack]:
    """A slice for each instruction."""
    given: list[list[int]] = [[] for _ in program.instructions]
    taken: list[list[int]] = [[] for _ in program.instructions]
    pairs = [(giver, taker) for taker, found in enumerate(givers(program.instructions)) for giver in found]
    for token, (giver, taker) in enumerate(pairs, start=1):
        given[giver].append(token)
        taken[taker].append(token)
    for engine in ENGINES:
        slices = []
        for index, at in enumerate(program.instructions):
            if at.engine is engine:
                span = timing.instructions[index]
                busy = span if engine is Engine.ARRAY else _bus(program, span)
                tokens = tuple(given[index]), tuple(taken[index])
                slices.append(TraceSlice(_title(program, at), *_ends(busy), _notes(program, index, span), *tokens))
        yield SliceTrack(engine.name, ENGINE_DOCS[engine], tuple(slices), engine)


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.finish


def _title(program: Program, at: Instruction) -> str:
    return f"{at.name} {source_name(at, [source.name for source in program.sources]) or ''}".rstrip()


def _notes(program: Program, index: int, span: Span) -> dict[str, Note]:
    at = program.instructions[index]
    found: dict[str, Note] = {"instruction": index, "start_cycle": span.start, "finish_cycle": span.finish}
    operands = meaning(at).operands(program.arch, at)
    if at.engine is not Engine.ARRAY:
        found |= {"carries": carries(program, at), "bytes": operands.dram}
    elif operands.macs:
        found["macs"] = operands.macs
    return found


def _latencies(program: Program, timing: Timing) -> Iterator[SliceTrack]:
    """As many tracks of each engine as are in flight at the same time."""
    for engine in (Engine.LOAD, Engine.STORE) if program.arch.dram_latency else ():
        slices = [
            TraceSlice(_title(program, at), _bus(program, span).finish, span.finish, {"instruction": index})
            for index, (at, span) in enumerate(zip(program.instructions, timing.instructions, strict=True))
            if at.engine is engine
        ]
        for lane in _lanes(slices):
            yield SliceTrack(f"{engine.name} in flight", LATENCY_DOC, tuple(lane))


def _lanes(slices: Iterable[TraceSlice]) -> list[list[TraceSlice]]:
    """Each goes into the first lane that is free; they come in the order of time."""
    lanes: list[list[TraceSlice]] = []
    for each in slices:
        free = next((lane for lane in lanes if lane[-1].finish <= each.start), None)
        if free is None:
            lanes.append(free := [])
        free.append(each)
    return lanes


def _layers(program: Program, timing: Timing) -> Iterator[SliceTrack]:
    """What follows each other for one operator is one slice, its causes inside."""
    if not program.sources:
        return
    runs: list[list[TimelinePiece]] = []
    for piece in pieces(program, timing):
        if piece.cycles and (not runs or runs[-1][0].source != piece.source):
            runs.append([])
        if piece.cycles:
            runs[-1].append(piece)
    yield SliceTrack("layers", LAYERS_DOC, tuple(_layer(program, run) for run in runs))


def _layer(program: Program, run: list[TimelinePiece]) -> TraceSlice:
    source = program.sources[run[0].source]
    start, finish = run[0].start, run[-1].start + run[-1].cycles
    causes = tuple(TraceSlice(each.cause, each.start, each.start + each.cycles, _cause_notes(each)) for each in run)
    return TraceSlice(source.name, start, finish, {"operator": source.op, "start_cycle": start}, inside=causes)


def _cause_notes(piece: TimelinePiece) -> dict[str, Note]:
    waits: dict[str, Note] = {} if piece.giver is None else {"waits_for_instruction": piece.giver}
    return {"meaning": CAUSES[piece.cause], **waits}


def _counters(program: Program, timing: Timing) -> Iterator[CounterTrack]:
    sram = tuple(live_bytes(program, timing))
    yield CounterTrack("SRAM live", f"{SRAM_DOC}; there are {program.arch.sram_bytes:,}", "bytes", sram)
    for engine in (Engine.LOAD, Engine.STORE):
        steps = tuple(_bandwidth(program, timing, engine))
        yield CounterTrack(f"DRAM {engine.name}", BANDWIDTH_DOC, "bytes/cycle", steps)


def _bandwidth(program: Program, timing: Timing, engine: Engine) -> Iterator[tuple[int, float]]:
    """Each transfer's bytes over its cycles on the bus; times these they are the program's DRAM bytes."""
    values: dict[int, float] = {0: 0.0}
    for at, span in zip(program.instructions, timing.instructions, strict=True):
        if at.engine is engine:
            start, finish = _ends(_bus(program, span))
            values[start] = meaning(at).operands(program.arch, at).dram / (finish - start)
            values[finish] = 0.0
    before = None
    for cycle, value in sorted(values.items()):
        if value != before:
            yield cycle, value
        before = value
