"""Tokens, held against a brute-force happens-before relation."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit import emit
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.fold import fold
from tvm_re2na.codegen.isa import ENGINES, Instruction
from tvm_re2na.codegen.layout import lay_out
from tvm_re2na.codegen.plan import make_plan
from tvm_re2na.codegen.sync import Access, Step, add_tokens
from tvm_re2na.codegen.units import make_units


def happens_before(instructions: list[Instruction]) -> np.ndarray:
    """before[i, j]: i is over when j starts, by engine order and matched tokens; O(n^3) and obvious."""
    count = len(instructions)
    before = np.zeros((count, count), bool)
    queues: dict[tuple[int, int], list[int]] = defaultdict(list)
    last: dict[int, int] = {}
    for j, instruction in enumerate(instructions):
        engine = int(instruction.engine)
        parents = [last[engine]] if engine in last else []
        parents += [queues[(other, engine)].pop(0) for other in ENGINES if instruction.wait >> other & 1]
        for parent in parents:
            before[:, j] |= before[:, parent]
            before[parent, j] = True
        last[engine] = j
        for other in ENGINES:
            if instruction.signal >> other & 1:
                queues[(engine, int(other))].append(j)
    assert not any(queues.values()), "a token is left over"
    return before


def must_follow(later: Step, earlier: Step) -> bool:
    touched = later.reads + later.writes
    after_write = any(mine.conflicts(theirs) for mine in touched for theirs in earlier.writes)
    return after_write or any(mine.conflicts(theirs) for mine in later.writes for theirs in earlier.reads)


def steps_of(seed: int, sram: int) -> list[Step]:
    arch = Architecture(sram_bytes=sram)
    units = make_units(fold(random_graph(np.random.default_rng(seed), 6)), arch)
    plan = make_plan(units, arch, lambda unit: unit.output)
    return emit(plan, lay_out(plan), arch)


@pytest.mark.parametrize("seed", range(40))
def test_every_conflict_is_ordered_and_no_token_is_idle(seed: int) -> None:
    try:
        steps = steps_of(seed, (1536 * 1024, 12 * 1024)[seed % 2])
    except CompileError:
        pytest.skip("the random network does not fit the small memory")
    instructions = add_tokens(steps)
    before = happens_before(instructions)
    for j, later in enumerate(steps):
        for i, earlier in enumerate(steps[:j]):
            if must_follow(later, earlier):
                assert before[i, j], f"{instructions[j]} may overtake {instructions[i]}"


def test_interleaved_channels_do_not_conflict() -> None:
    even, odd = Access("sram", 0, 1000, 4, 8), Access("sram", 4, 1004, 4, 8)
    assert not even.conflicts(odd) and not odd.conflicts(even)
    assert even.conflicts(Access("sram", 3, 1003, 4, 8)) and even.conflicts(Access("sram", 6, 1006, 4, 8))
    assert even.conflicts(Access("sram", 4, 8)) and not even.conflicts(Access("dram", 0, 8))
