"""The timeline of a run in Perfetto's own format, read back and held against the program, its timing, its tokens and its totals."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.models.resnets import resnet_graph
from tests.runtime import oracle
from tests.runtime.programs import changed, random_program
from tests.runtime.trace_picture import draw
from tests.runtime.trace_reader import ReadSlice, ReadTrace, ReadTrack, read_file, read_trace
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa import Engine
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.energy import counted
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.live_bytes import live_bytes
from tvm_re2na.runtime.timeline import CAUSE_NAMES, shares
from tvm_re2na.runtime.trace import trace
from tvm_re2na.trace_file import nanoseconds, trace_bytes, write_trace

TRANSFERS = (Engine.LOAD, Engine.STORE)


def compiled(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    arch = Architecture(
        sram_bytes=64 * 1024,
        dram_bytes_per_cycle=int(rng.choice([1, 8, 24])),
        dram_latency=int(rng.choice([0, 7, 1000])),
        mac_interval=int(rng.choice([1, 5])),
        clock_mhz=int(rng.choice([7, 200, 333])),
    )
    return compile_graph(random_graph(rng, 7), arch)


def residual() -> Program:
    """Many LOADs in flight, and layers of more than one instruction."""
    return compile_graph(resnet_graph(18, 64), Architecture(mac_interval=1))


PROGRAMS = (
    [random_program(seed, length=8) for seed in range(30)] + [compiled(seed) for seed in range(12)] + [residual()]
)


def read(program: Program) -> ReadTrace:
    return read_trace(trace_bytes(trace(program, LoadedProgram(program).timing)))


def ends(program: Program, slices: list[ReadSlice]) -> list[tuple[int, int]]:
    """In cycles: clocks here are slow enough for a cycle to be more than a nanosecond."""
    assert program.arch.clock_mhz <= 1000
    cycles = program.arch.clock_mhz / 1000
    return [(round(each.start * cycles), round(each.finish * cycles)) for each in slices]


def follow_each_other(track: ReadTrack) -> bool:
    return all(each.depth == 0 for each in track.slices) and all(
        before.finish <= after.start for before, after in pairwise(track.slices)
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_every_instruction_has_one_slice_on_the_track_of_its_engine(program: Program) -> None:
    timing, found = LoadedProgram(program).timing, read(program)
    for engine in Engine:
        track = found.only(engine.name)
        assert track.thread == (1, 1 + engine, engine.name) and follow_each_other(track) and track.doc
        indices = [index for index, at in enumerate(program.instructions) if at.engine is engine]
        assert [each.notes["instruction"] for each in track.slices] == indices
        for index, (start, finish), each in zip(indices, ends(program, track.slices), track.slices, strict=True):
            at, span = program.instructions[index], timing.instructions[index]
            assert each.name.split()[0] == at.name
            assert (each.notes["start_cycle"], each.notes["finish_cycle"]) == (span.start, span.finish)
            latency = program.arch.dram_latency if engine in TRANSFERS else 0
            assert (start, finish) == (span.start, span.finish - latency)
            assert each.notes.get("macs", 0) == meaning(at).operands(program.arch, at).macs


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_what_is_in_flight_overlaps_on_tracks_of_its_own(program: Program) -> None:
    timing, found = LoadedProgram(program).timing, read(program)
    for engine in TRANSFERS:
        tracks = found.named(f"{engine.name} in flight")
        assert all(follow_each_other(track) and track.thread is None for track in tracks)
        slices = [each for track in tracks for each in track.slices]
        spans = {each.notes["instruction"]: at for each, at in zip(slices, ends(program, slices), strict=True)}
        assert len(spans) == len(slices)
        latency = program.arch.dram_latency
        expected = {
            index: (span.finish - latency, span.finish)
            for index, (at, span) in enumerate(zip(program.instructions, timing.instructions, strict=True))
            if at.engine is engine and latency
        }
        assert spans == expected
        edges = Counter(start for start, _ in expected.values())
        edges.subtract(finish for _, finish in expected.values())
        at_once = np.cumsum([edges[cycle] for cycle in sorted(edges)])
        assert len(tracks) == (at_once.max() if expected else 0), "no more tracks than are needed"


def test_a_residual_network_has_several_loads_in_flight() -> None:
    assert len(read(PROGRAMS[-1]).named("LOAD in flight")) > 2


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_arrows_are_tokens(program: Program) -> None:
    found = read(program)
    arrows = [(giver.notes["instruction"], taker.notes["instruction"]) for giver, taker in found.arrows]
    assert sorted(arrows) == sorted(oracle.tokens(program.instructions))
    assert all(giver.notes["finish_cycle"] <= taker.notes["start_cycle"] for giver, taker in found.arrows)  # type: ignore[operator]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_layers_fill_the_run_and_causes_fill_the_layers(program: Program) -> None:
    timing, track = LoadedProgram(program).timing, read(program).only("layers")
    by_depth = [[each for each in track.slices if each.depth == depth] for depth in (0, 1)]
    assert len(by_depth[0]) + len(by_depth[1]) == len(track.slices)
    for slices in by_depth:
        edges = ends(program, slices)
        assert edges[0][0] == 0 and edges[-1][1] == timing.cycles
        assert all(before[1] == after[0] for before, after in pairwise(edges))
    assert all(before.name != after.name for before, after in pairwise(by_depth[0]))
    spent: Counter[tuple[str, str]] = Counter()
    layers = iter(by_depth[0])
    layer = next(layers)
    for cause, (start, finish) in zip(by_depth[1], ends(program, by_depth[1]), strict=True):
        layer = next(layers) if cause.start >= layer.finish else layer
        assert layer.start <= cause.start and cause.finish <= layer.finish
        spent[layer.name, cause.name] += finish - start
    expected = {
        (source.name, cause): cycles
        for source, share in zip(program.sources, shares(program, timing), strict=True)
        for cause, cycles in share.causes.items()
        if cycles
    }
    assert spent == expected


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_counters_add_up_to_the_programs_totals(program: Program) -> None:
    timing, found = LoadedProgram(program).timing, read(program)
    moved = 0
    for engine in TRANSFERS:
        track = found.only(f"DRAM {engine.name}")
        cycles = [round(ns * program.arch.clock_mhz / 1000) for ns, _ in track.steps]
        assert cycles[0] == 0 and all(before < after for before, after in pairwise(cycles))
        assert track.unit == "bytes/cycle" and track.steps[-1][1] == 0
        assert max(value for _, value in track.steps) <= program.arch.dram_bytes_per_cycle
        moved += sum(
            round(value * (after - now))
            for (_, value), (now, after) in zip(track.steps[:-1], pairwise(cycles), strict=True)
        )
    assert moved == sum(each.dram for each in counted(program))
    sram = found.only("SRAM live")
    clock = program.arch.clock_mhz
    assert sram.unit == "bytes"
    assert sram.steps == [(nanoseconds(cycle, clock), live) for cycle, live in live_bytes(program, timing)]


def test_the_process_says_what_a_nanosecond_is() -> None:
    program = random_program(3)
    timing = LoadedProgram(program).timing
    for clock, said in ((200, "1 cycle is 5 ns (200 MHz)"), (7, "1 cycle is 142.857 ns (7 MHz)")):
        slower = replace(program, arch=replace(program.arch, clock_mhz=clock))
        found = read_trace(trace_bytes(trace(slower, timing, "net")))
        assert found.process == "Re²Na: net"
        assert found.labels == [said, f"{timing.cycles:,} cycles"]
        last = max(each.finish for track in found.tracks for each in track.slices)
        assert last == round(timing.cycles * 1000 / clock)


def test_a_clock_faster_than_a_nanosecond_keeps_the_order() -> None:
    """Cycles that fall into one nanosecond still end before the next begins, and tokens are given before they are taken."""
    for program in PROGRAMS:
        arch = replace(program.arch, clock_mhz=10_000, reconfigure_cycles=0, dram_latency=0)
        found = read(replace(program, arch=arch))
        assert all(follow_each_other(found.only(engine.name)) for engine in Engine)
        assert len(found.arrows) == len(oracle.tokens(program.instructions))


def test_a_program_without_operators_has_no_layers() -> None:
    program = random_program(5)
    for index in range(len(program.instructions)):
        program = changed(program, index, source=0)
    assert not read(replace(program, sources=())).named("layers")


def test_a_packed_file_holds_the_same(tmp_path: Path) -> None:
    program = PROGRAMS[-1]
    write_trace(program, tmp_path / "a.pftrace", "net")
    write_trace(program, tmp_path / "a.pftrace.gz", "net")
    plain, packed = (tmp_path / "a.pftrace").read_bytes(), (tmp_path / "a.pftrace.gz").read_bytes()
    assert gzip.decompress(packed) == plain and len(packed) < len(plain) / 4
    assert len(plain) < 400 * len(program.instructions), "docs/trace.md"
    assert read_file(tmp_path / "a.pftrace").process == "Re²Na: net"
    write_trace(program, tmp_path / "a.pftrace.gz", "net")
    assert (tmp_path / "a.pftrace.gz").read_bytes() == packed, "the same file every time"


def test_the_picture_of_the_documentation_shows_every_track(tmp_path: Path) -> None:
    for program in (PROGRAMS[2], PROGRAMS[33]):
        write_trace(program, tmp_path / "a.pftrace", "net")
        found = read_file(tmp_path / "a.pftrace")
        draw(found, tmp_path / "a.svg")
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text(encoding="utf-8"))
        causes = {CAUSE_NAMES[each.name][1] for each in found.only("layers").slices if each.depth}
        assert {track.name for track in found.tracks if not track.unit} | causes | {"cycles"} <= set(texts)
        assert f"Re²Na: net: {found.labels[1]}" in texts
