"""Live bytes of the SRAM, against every byte's own story told one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.models.resnets import resnet_graph
from tests.runtime.oracle import touched
from tests.runtime.programs import random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa import make
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.hazards import conflicts
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.live_bytes import live_bytes
from tvm_re2na.runtime.result import Timing


def told_by_each_byte(program: Program, timing: Timing) -> dict[int, int]:
    """The live bytes from each cycle on at which one begins or ends to live."""
    stories: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for index, at in enumerate(program.instructions):
        for does in ("reads", "writes"):
            for byte in touched(at).get(("SRAM", does), ()):
                stories[byte].append((index, does == "writes"))
    changes: Counter[int] = Counter()
    for story in stories.values():
        lives: list[list[int]] = []
        for index, writes in story:
            span = timing.instructions[index]
            if writes or not lives:
                if lives:
                    lives[-1][1] = max(lives[-1][0], min(lives[-1][1], span.start))
                lives.append([span.start, span.finish])
            lives[-1][1] = max(lives[-1][1], span.finish)
        for since, until in lives:
            changes[since] += 1
            changes[until] -= 1
    live, found = 0, {}
    for cycle in sorted(changes):
        live += changes[cycle]
        found[cycle] = live
    return found


def small(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    return compile_graph(random_graph(rng, 5), Architecture(sram_bytes=16 * 1024, array_rows=16, array_columns=16))


@pytest.mark.parametrize("seed", range(24))
def test_each_byte_lives_from_its_write_to_its_last_read(seed: int) -> None:
    program = random_program(seed, length=6) if seed < 20 else small(seed)
    timing = LoadedProgram(program).timing
    steps = live_bytes(program, timing)
    told = told_by_each_byte(program, timing)
    assert [cycle for cycle, _ in steps] == sorted({cycle for cycle, _ in steps})
    assert all(before[1] != after[1] for before, after in pairwise(steps)), "no step without a change"
    found = dict(steps)
    live = 0
    for cycle in sorted({*told, *found}):
        live = found.get(cycle, live)
        before = max((known for known in told if known <= cycle), default=None)
        assert live == (0 if before is None else told[before]), cycle
    assert steps[-1][1] == 0
    assert max(found.values()) <= program.arch.sram_bytes or any(conflicts(program)), "no more than there are"


@pytest.mark.parametrize("sram_kib", [1536, 320])
def test_a_residual_network_stays_below_the_plans_peak(sram_kib: int) -> None:
    program = compile_graph(resnet_graph(18, 64), Architecture(sram_bytes=sram_kib * 1024))
    peak = max(live for _, live in live_bytes(program, LoadedProgram(program).timing))
    assert 0.9 * program.meta["total"]["sram_peak_bytes"] < peak <= program.meta["total"]["sram_peak_bytes"]


def test_a_program_that_touches_nothing() -> None:
    program = random_program(0)
    empty = Program(program.arch, (), (), (make("HALT"),), b"", 0, 0, ())
    assert live_bytes(empty, LoadedProgram(empty).timing) == [(0, 0)]
