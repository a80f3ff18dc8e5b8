"""One random program through everything that says something about programs: do the two of each kind agree?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.runtime import oracle
from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import hazards, reference
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.runtime.timing import timing

SRAM = 1024
LENGTH = 8  # instructions drawn at most; with what belongs to them up to some 30


@dataclass(frozen=True)
class Trial:
    """`hazards` counts the pairs that tokens do not order; `problem` says what disagreed, if anything did."""

    hazards: int = 0
    problem: str | None = None


def trial(seed: int, with_results: bool = False) -> Trial:
    """Hazard check and oracle, timing in C and in Python; with results also the values that both simulators compute."""
    try:
        program = random_program(seed, length=LENGTH, sram_bytes=SRAM)
        found = [(at.earlier, at.later, at.memory, at.address) for at in hazards.conflicts(program)]
        simulator = Simulator(program)
        if len(found) != len(set(found)) or set(found) != oracle.hazards(program.instructions):
            return Trial(len(found), "hazard check and oracle")
        if simulator.timing != timing(program):
            return Trial(len(found), "timing in C and in Python")
        if with_results and not _same_results(program, simulator, seed):
            return Trial(len(found), "results of the C simulator and the reference")
        return Trial(len(found))
    except Exception as error:  # a program that is refused is a disagreement too
        return Trial(problem=f"{type(error).__name__}: {error}")


def _same_results(program: Program, simulator: Simulator, seed: int) -> bool:
    inputs = random_input(program, seed)
    result, expected = simulator.run(inputs), reference.run(program, inputs, check_hazards=False)
    same = all(np.array_equal(one, other) for one, other in zip(result.outputs, expected.outputs, strict=True))
    return same and result.counters == expected.counters
