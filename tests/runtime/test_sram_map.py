"""The map of the SRAM against the lives of its bytes, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.models.resnets import resnet_graph
from tests.runtime.programs import random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa import Engine
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.live_bytes import live_bytes, lives
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.sram_map import LINES, MapBlock, sram_map
from tvm_re2na.runtime.timeline import carries


def compiled(seed: int) -> Program:
    small = Architecture(sram_bytes=32 * 1024, array_rows=16, array_columns=16)
    return compile_graph(random_graph(np.random.default_rng(seed), 6), small)


PROGRAMS = [random_program(0, length=6), *(compiled(seed) for seed in range(8)), compile_graph(resnet_graph(18, 64))]


def told(program: Program) -> tuple[Timing, list[MapBlock]]:
    timing = LoadedProgram(program).timing
    return timing, sram_map(program, timing)


@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_lives_lies_in_a_block_of_its_owner(program: Program) -> None:
    timing, blocks = told(program)
    found = lives(program, timing)
    for start, stop, since, until, writer in zip(*(column.tolist() for column in vars(found).values()), strict=True):
        at = program.instructions[writer]
        kind = "results" if at.engine is Engine.ARRAY else carries(program, at)
        own = [block for block in blocks if (block.source, block.kind) == (at.source, kind)]
        lasting = [block for block in own if block.since <= since and until <= block.until]
        inside = [(block.start, block.stop) for block in lasting if block.start < stop and start < block.stop]
        covered = start
        for low, high in sorted(inside):
            covered = max(covered, high) if low <= covered else covered
        assert covered >= stop, (start, stop, since, until)


@pytest.mark.parametrize("program", PROGRAMS)
def test_blocks_say_no_more_than_a_line_and_a_moment_too_much(program: Program) -> None:
    """What is drawn is what is live, but for the edges of lines and the joining of what begins and ends nearly together."""
    timing, blocks = told(program)
    found = lives(program, timing)
    line = -(-int(found.stop.max()) // LINES)
    near = -(-timing.cycles // 2000)
    area = int(((found.stop - found.start) * (found.until - found.since)).sum())
    drawn = sum((block.stop - block.start) * (block.until - block.since) for block in blocks)
    edges = sum(
        2 * line * (block.until - block.since + near) + (block.stop - block.start) * 2 * near for block in blocks
    )
    assert drawn >= area * 0.999
    assert drawn <= area + edges or line > 1, "lines of single bytes are exact but for the joining"
    assert all(0 <= block.start < block.stop <= program.arch.sram_bytes for block in blocks)
    assert all(0 <= block.since <= block.until <= timing.cycles for block in blocks)


def test_a_residual_network_is_few_blocks() -> None:
    """A picture: strided reads leave half a million pieces of a ResNet-50."""
    timing, blocks = told(PROGRAMS[-1])
    assert 30 < len(blocks) < 2000
    peak = max(live for _, live in live_bytes(PROGRAMS[-1], timing))
    middle = timing.cycles // 2
    lying = sum(block.stop - block.start for block in blocks if block.since <= middle < block.until)
    live = [live for cycle, live in live_bytes(PROGRAMS[-1], timing) if cycle <= middle][-1]
    assert live <= lying <= 1.1 * peak


def test_a_program_that_touches_nothing_has_no_blocks() -> None:
    from dataclasses import replace

    program = PROGRAMS[1]
    halt = tuple(at for at in program.instructions if at.name == "HALT")
    assert sram_map(replace(program, instructions=halt), Timing((), 0)) == []
