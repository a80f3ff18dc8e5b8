"""Where the array's time goes: every cycle of a run belongs to exactly one source operator and one cause.

The array executes its instructions in program order, and between two of them it waits for a token. So its timeline is
gapless: working part, rest of the instruction, wait, next instruction. After its last instruction the run goes on until the
last transfer has finished.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Engine, Instruction
from tvm_re2na.codegen.isa.durations import duration_parts
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.tokens import givers

CAUSES = {
    "mac": "the multiply part of CONV and DENSE",
    "overhead": "the rest of every array instruction: fill, latency, output path, results leaving the array",
    "reconfigure": "switching the connections between the PBs",
    "alu": "the comparisons and additions of POOL and ELTWISE, the tables of LOOKUP",
    "wait_load": "the array is idle until a LOAD has finished",
    "wait_store": "the array is idle until a STORE has finished",
}
# each cause's column in tables, and its name in figures and sentences
CAUSE_NAMES = {
    "mac": ("MAC", "multiplications"),
    "overhead": ("fill", "fill and drain"),
    "reconfigure": ("switch", "switching the array"),
    "alu": ("ALU", "pooling, additions, tables"),
    "wait_load": ("load?", "waiting for loads"),
    "wait_store": ("store?", "waiting for stores"),
}
WAITS = {Engine.LOAD: "wait_load", Engine.STORE: "wait_store"}
# what the DRAM bus does until the LOAD is over that the array waits for
BUS = ("weights", "inputs", "results", "latency")


@dataclass(frozen=True)
class TimelinePiece:
    """A part of the array's timeline: `cycles` from `start`, for the source operator of that index. A wait is for `giver`."""

    source: int
    cause: str
    start: int
    cycles: int
    giver: int | None = None  # index of the LOAD or STORE


@dataclass
class Share:
    """One source operator's part of the timeline, in cycles by cause; `bus` splits wait_load by what held the LOAD up."""

    causes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    bus: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUS, 0))


def shares(program: Program, timing: Timing) -> list[Share]:
    """One per source operator, in the program's order."""
    found = [Share() for _ in program.sources]
    bus = _Bus(program, timing)
    for piece in pieces(program, timing) if found else ():
        share = found[piece.source]
        share.causes[piece.cause] += piece.cycles
        if piece.cause == "wait_load" and piece.giver is not None:
            for kind, cycles in bus.until(piece.giver, piece.start, piece.cycles).items():
                share.bus[kind] += cycles
    return found


def pieces(program: Program, timing: Timing) -> list[TimelinePiece]:
    """The array's timeline from 0 to the end of the run, without a gap."""
    found: list[TimelinePiece] = []
    free = 0
    taken_from = givers(program.instructions)
    for index, at in enumerate(program.instructions):
        if at.engine is not Engine.ARRAY or at.name == "HALT":
            continue
        start = timing.instructions[index].start
        if start > free:  # then the last of its tokens came at that very cycle
            last = max(taken_from[index], key=lambda giver: timing.instructions[giver].finish)
            found.append(TimelinePiece(at.source, WAITS[program.instructions[last].engine], free, start - free, last))
        found += _busy(program.arch, at, start, timing.instructions[index].finish)
        free = timing.instructions[index].finish
    return found + _tail(program, timing, free)


def _busy(arch: Architecture, at: Instruction, start: int, finish: int) -> list[TimelinePiece]:
    """The working part first, then the rest; in truth the fill comes before it."""
    means = meaning(at)
    if means.cause is None:
        return []
    work = duration_parts(arch, at.name, at.values)[means.work]
    found = [TimelinePiece(at.source, means.cause, start, work)]
    return (
        found
        if means.work == "cycles"
        else [*found, TimelinePiece(at.source, "overhead", start + work, finish - start - work)]
    )


def _tail(program: Program, timing: Timing, free: int) -> list[TimelinePiece]:
    """What is left when the array has done its last instruction belongs to the transfer that finishes last."""
    if timing.cycles == free:
        return []
    spans = enumerate(timing.instructions)
    last = max(
        (i for i, _ in spans if program.instructions[i].name != "HALT"), key=lambda i: timing.instructions[i].finish
    )
    at = program.instructions[last]
    return [TimelinePiece(at.source, WAITS[at.engine], free, timing.cycles - free, last)]


class _Bus:
    """What the DRAM bus does when."""

    def __init__(self, program: Program, timing: Timing) -> None:
        self._over = [span.finish - program.arch.dram_latency for span in timing.instructions]
        spans = [
            (span.start, span.finish - program.arch.dram_latency, carries(program, at))
            for at, span in zip(program.instructions, timing.instructions, strict=True)
            if at.engine is not Engine.ARRAY
        ]
        self._spans = sorted(spans)
        self._starts = [start for start, _, _ in self._spans]

    def until(self, giver: int, start: int, cycles: int) -> dict[str, int]:
        """What held up LOAD `giver` in so many `cycles` from `start`, by kind: whatever had the bus until it had been transferred
        itself, also by kind. The rest is latency, whatever the bus does meanwhile."""
        found = dict.fromkeys(BUS, 0)
        stop = min(start + cycles, self._over[giver])
        index = max(bisect_right(self._starts, start) - 1, 0)
        for first, over, kind in self._spans[index : bisect_right(self._starts, stop)]:
            found[kind] += max(0, min(over, stop) - max(first, start))
        found["latency"] = cycles - sum(found.values())
        return found


def carries(program: Program, at: Instruction) -> str:
    """What a LOAD or STORE brings over the bus: weights (biases and tables with them), inputs or results."""
    if at.name == "STORE":
        return "results"
    constants = range(program.constants_address, program.constants_address + len(program.constants))
    return "weights" if at["dram_addr"] in constants else "inputs"
