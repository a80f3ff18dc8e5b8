"""The hazard check: exactly the bytes that the reference touches, exactly the hazards that the oracle finds."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.runtime import oracle
from tests.runtime.programs import long_sum_program, random_input, random_program
from tests.runtime.trials import SRAM, trial
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.encoding import make
from tvm_re2na.runtime import hazards, reference
from tvm_re2na.runtime.instructions import MEANINGS, Access, Meaning, accesses
from tvm_re2na.runtime.instructions import machine as state

Touched = dict[tuple[str, str], set[int]]  # addresses by memory and what is done there


def touched(at: Instruction) -> Touched:
    """What `accesses` says, byte by byte."""
    found: Touched = defaultdict(set)
    for access in accesses(at):
        starts, stops = access.runs
        assert (starts[0], stops[-1]) == (access.start, access.stop)
        assert (starts < stops).all() and (stops[:-1] < starts[1:]).all()
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            found[access.memory, "writes" if access.writes else "reads"].update(range(start, stop))
    return dict(found)


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Touched]]:
    """What each instruction that the reference simulator then executes really touches."""
    seen: list[Touched] = []

    def recorded(does: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def access(memory: state.Memory, addresses: state.Ints, *values: state.Ints) -> Any:
            if seen and addresses.size:
                seen[-1][memory.name, does] |= set(addresses.reshape(-1).tolist())
            return method(memory, addresses, *values)

        return access

    def counted(run: Callable[..., Any]) -> Callable[..., Any]:
        def execute(meaning: Meaning, machine: state.Machine, at: Instruction) -> Any:
            seen.append(defaultdict(set))
            return run(meaning, machine, at)

        return execute

    with monkeypatch.context() as patch:
        patch.setattr(state.Memory, "read", recorded("reads", state.Memory.read))
        patch.setattr(state.Memory, "write", recorded("writes", state.Memory.write))
        for kind in map(type, MEANINGS.values()):
            patch.setattr(kind, "run", counted(kind.run))
        yield seen


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_accesses_are_what_the_reference_touches(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(start, start + 100):
        program = random_program(seed, length=6)
        with recording(monkeypatch) as seen:
            reference.run(program, random_input(program, seed), check_hazards=False)
        body = program.instructions[:-1]  # the outputs are read after HALT
        for at, really in zip(body, seen, strict=False):
            slowly = {key: addresses for key, addresses in oracle.touched(at).items() if addresses}
            assert touched(at) == really == slowly, at


@pytest.mark.parametrize("start", range(0, 2000, 500))
def test_random_programs(start: int) -> None:
    """A slice of benchmarks/random_programs.py."""
    trials = {seed: trial(seed, with_results=seed % 16 == 0) for seed in range(start, start + 500)}
    assert not {seed: found.problem for seed, found in trials.items() if found.problem is not None}
    with_hazards = sum(found.hazards > 0 for found in trials.values())
    assert 100 < with_hazards < 400  # or the test would say little


def test_a_trial_notices_what_is_missed_and_what_is_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = [at for at in SEEDS if trial_with(monkeypatch, accesses=lambda at: accesses(at)[1:], seed=at)]
    everything = (Access("SRAM", True, 0, SRAM),)
    invented = [at for at in SEEDS if trial_with(monkeypatch, accesses=lambda at: everything, seed=at)]
    assert missed and invented


SEEDS = range(20)


def trial_with(
    monkeypatch: pytest.MonkeyPatch, accesses: Callable[[Instruction], tuple[Access, ...]], seed: int
) -> bool:
    """Whether the trial fails once the check believes other accesses."""
    with monkeypatch.context() as patch:
        patch.setattr(hazards, "accesses", accesses)
        return trial(seed).problem == "hazard check and oracle"


def test_check_names_the_first_conflict() -> None:
    for seed in range(200):
        program = random_program(seed, length=6)
        first = next(hazards.conflicts(program), None)
        if first is None:
            hazards.check(program)
            continue
        names = [f"instruction {i} ({program.instructions[i].name})" for i in (first.later, first.earlier)]
        with pytest.raises(hazards.HazardError) as raised:
            hazards.check(program)
        assert str(raised.value).startswith(f"{names[0]}: ")
        assert f" {first.memory} address {first.address}, which {names[1]} " in str(raised.value)


def test_the_reference_refuses_what_the_check_refuses() -> None:
    for seed in range(100):
        program = random_program(seed, length=3)
        inputs = random_input(program, seed)
        if any(hazards.conflicts(program)):
            with pytest.raises(hazards.HazardError):
                reference.run(program, inputs)
        else:
            reference.run(program, inputs)


def transfer(name: str, dram: int, sram: int, **values: int) -> Instruction:
    one = {"bytes": 1, "rows": 1, "planes": 1}
    strides = {f"{memory}_{axis}_stride": 0 for memory in ("dram", "sram") for axis in ("row", "plane")}
    return make(name, dram_addr=dram, sram_addr=sram, **{**one, **strides, **values})


def conflicts_of(*instructions: Instruction, dram_bytes: int = 2**32) -> list[tuple[int, int, str, int]]:
    program = dataclasses.replace(
        long_sum_program(Architecture(), 1, 1), instructions=(*instructions, make("HALT")), dram_bytes=dram_bytes
    )
    return [(at.earlier, at.later, at.memory, at.address) for at in hazards.conflicts(program)]


def test_interleaved_runs_do_not_conflict() -> None:
    columns = {"bytes": 2, "rows": 5, "sram_row_stride": 8}
    load = transfer("LOAD", 0, 100, **columns)
    assert conflicts_of(load, transfer("STORE", 500, 102, **columns)) == []
    assert conflicts_of(load, transfer("STORE", 500, 101, **columns)) == [(0, 1, "SRAM", 101)]
    assert conflicts_of(load, transfer("STORE", 500, 99, **columns)) == [(0, 1, "SRAM", 100)]
    assert conflicts_of(load, transfer("STORE", 500, 104, bytes=30)) == [(0, 1, "SRAM", 108)]
    assert conflicts_of(load, transfer("STORE", 500, 134, bytes=30)) == []


def test_both_memories_are_watched() -> None:
    load, store = transfer("LOAD", 7, 100, bytes=9), transfer("STORE", 10, 105, bytes=9)
    assert conflicts_of(load, store) == [(0, 1, "DRAM", 10), (0, 1, "SRAM", 105)]
    assert conflicts_of(load.with_tokens(0, 0b100), store.with_tokens(0b001, 0)) == []


def test_tokens_against_program_order_do_not_help() -> None:
    """STORE must have been over before LOAD started: the machine's order is certain, and the wrong one."""
    load, store = transfer("LOAD", 0, 100), transfer("STORE", 500, 100)
    assert conflicts_of(load.with_tokens(0b100, 0), store.with_tokens(0, 0b001)) == [(0, 1, "SRAM", 100)]


def test_what_never_starts_conflicts_with_nothing_before_it() -> None:
    load, store = transfer("LOAD", 0, 100), transfer("STORE", 500, 100)
    assert conflicts_of(load, store.with_tokens(0b001, 0)) == []


def test_a_large_program_takes_seconds_and_no_memory_of_its_size() -> None:
    """5,000 instructions without a token, 1.5 MB of SRAM in pieces, 4 GB of DRAM."""
    pieces = [transfer("LOAD", 2**31 + 300 * i, 300 * i, bytes=20, rows=10, sram_row_stride=30) for i in range(2500)]
    between = [
        transfer("STORE", 2**30 + 300 * i, 300 * i + 20, bytes=10, rows=10, sram_row_stride=30) for i in range(2500)
    ]
    started = time.perf_counter()
    assert conflicts_of(*pieces, *between) == []
    assert time.perf_counter() - started < 20
    assert conflicts_of(*pieces, *between, transfer("STORE", 0, 749_700)) == [(2499, 5000, "SRAM", 749_700)]
