"""`re2na check`: everything that can be said of a program without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import hazards
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.timing import timing


class TimingError(Re2naError, RuntimeError):
    """The two timing models do not agree on a program; the message names the first instruction."""

    exit_code = CANNOT_RUN


def check_program(path: Path) -> dict[str, Any]:
    """Validates the file, times it twice, and looks for hazards.

    Raises ProgramError, SimulatorError, TimingError or HazardError; each names the instruction, and what is wrong with it.
    """
    program = Program.open(path)
    loaded = LoadedProgram(path)
    cycles = _same(program, loaded.timing, timing(program))
    hazards.check(program)
    return {
        "instructions": len(program.instructions),
        "cycles": cycles,
        "tokens": sum(at.signal.bit_count() for at in program.instructions),
        "memory_bytes": loaded.asks.memory_bytes,
        "work": loaded.asks.work,
    }


def _same(program: Program, fast: Timing, slow: Timing) -> int:
    """The cycles of both."""
    for index, (one, other) in enumerate(zip(fast.instructions, slow.instructions, strict=True)):
        if one != other:
            raise TimingError(
                f"instruction {index} ({program.instructions[index].name}): cycles {one.start} to {one.finish} in C,"
                f" {other.start} to {other.finish} in Python"
            )
    if fast.cycles != slow.cycles:
        raise TimingError(f"a run takes {fast.cycles} cycles in C, {slow.cycles} in Python")
    return slow.cycles
