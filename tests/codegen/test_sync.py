"""Tokens, held against a brute-force happens-before relation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.runtime import oracle
from tests.runtime.programs import long_sum_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import bind, compile_graph
from tvm_re2na.codegen.emit.tokens import ByteRange, Step, add_tokens
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.layout import lay_out
from tvm_re2na.codegen.plan import make_plan
from tvm_re2na.codegen.schedule.units import make_units
from tvm_re2na.runtime import hazards


def must_follow(later: Step, earlier: Step) -> bool:
    touched = later.reads + later.writes
    after_write = any(mine.conflicts(theirs) for mine in touched for theirs in earlier.writes)
    return after_write or any(mine.conflicts(theirs) for mine in later.writes for theirs in earlier.reads)


def steps_of(seed: int, sram: int) -> list[Step]:
    arch = Architecture(sram_bytes=sram, activation_table=seed // 2 % 2)
    units = make_units(fold(random_graph(np.random.default_rng(seed), 6, lookups=arch.activation_table == 1)), arch)
    plan = make_plan(units, arch, lambda unit: unit.output)
    return bind(plan, lay_out(plan))


@pytest.mark.parametrize("seed", range(40))
def test_every_conflict_is_ordered(seed: int) -> None:
    try:
        steps = steps_of(seed, (1536 * 1024, 12 * 1024)[seed % 2])
    except CompileError:
        pytest.skip("the random network does not fit the small memory")
    instructions = add_tokens(steps)
    before = oracle.happens_before(instructions)
    for j, later in enumerate(steps):
        for i, earlier in enumerate(steps[:j]):
            if must_follow(later, earlier):
                assert before[i, j], f"{instructions[j]} may overtake {instructions[i]}"


def test_interleaved_channels_do_not_conflict() -> None:
    even, odd = ByteRange("sram", 0, 1000, 4, 8), ByteRange("sram", 4, 1004, 4, 8)
    assert not even.conflicts(odd) and not odd.conflicts(even)
    assert even.conflicts(ByteRange("sram", 3, 1003, 4, 8)) and even.conflicts(ByteRange("sram", 6, 1006, 4, 8))
    assert even.conflicts(ByteRange("sram", 4, 8)) and not even.conflicts(ByteRange("dram", 0, 8))


MEMORIES = (1536 * 1024, 12 * 1024, 4 * 1024)


@pytest.mark.parametrize("sram", MEMORIES)
def test_the_hazard_check_accepts_what_the_compiler_makes(sram: int) -> None:
    checked = 0
    for seed in range(60):
        arch = Architecture(sram_bytes=sram, activation_table=seed // 2 % 2)
        graph = random_graph(np.random.default_rng(seed), 5, size=10, lookups=arch.activation_table == 1)
        try:
            hazards.check(compile_graph(graph, arch))
        except CompileError:
            continue
        checked += 1
    assert checked > 20


def hazards_of(instructions: list[Instruction]) -> set[tuple[int, int, str, int]]:
    program = dataclasses.replace(long_sum_program(Architecture(), 1, 1), instructions=tuple(instructions))
    return {(at.earlier, at.later, at.memory, at.address) for at in hazards.conflicts(program)}


def without(instructions: list[Instruction], giver: int, taker: int) -> list[Instruction]:
    """Neither given nor taken: one token is gone, the others find their takers as before."""
    changed = list(instructions)
    give, take = instructions[giver], instructions[taker]
    changed[giver] = give.with_tokens(give.wait, give.signal & ~(1 << take.engine))
    changed[taker] = take.with_tokens(take.wait & ~(1 << give.engine), take.signal)
    return changed


def test_every_token_is_needed_and_the_hazard_check_misses_each() -> None:
    """The compiler looks at whole rectangles: now and then a token orders two that share no byte in the end."""
    tokens = reported = 0
    for seed in range(90):
        try:
            steps = steps_of(seed, MEMORIES[seed % 3])
        except CompileError:
            continue
        instructions = add_tokens(steps)
        met = oracle.meetings(instructions)
        ordered = [(i, j) for j in range(len(steps)) for i in range(j) if must_follow(steps[j], steps[i])]
        assert hazards_of(instructions) == oracle.hazards(instructions, met) == set()
        for giver, taker in oracle.tokens(instructions):
            fewer = without(instructions, giver, taker)
            before = oracle.happens_before(fewer)
            assert not all(before[pair] for pair in ordered), f"{fewer[taker]} needs no token from {fewer[giver]}"
            found = hazards_of(fewer)
            assert found == oracle.hazards(fewer, met)
            reported += bool(found)
            tokens += 1
    assert tokens > 500
    assert reported > 0.99 * tokens
