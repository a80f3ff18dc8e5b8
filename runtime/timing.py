"""The cycle model, slow and obvious. runtime/src/load/timing.c computes the same, to the cycle.

Three engines (LOAD, ARRAY, STORE) each execute their own instructions in program order. An instruction starts when its engine is
free and every engine in its `wait` set has given it a token that no earlier instruction took; when it has finished it gives one
token to each engine in its `signal` set. HALT starts when everything else has finished.

LOAD and STORE share the DRAM bus. A transfer has its engine and the bus for its duration and has finished `dram_latency` cycles
later: requests are pipelined, so the next transfer need not wait for that. Of the instructions that could start, the one that
can start first does (LOAD before ARRAY before STORE where two could).

How long each instruction takes is the table in `codegen/isa/durations.py`; docs/timing.md gives the reasons.
"""

from __future__ import annotations

from collections import deque

from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.isa import ENGINES, Engine, duration
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.result import Span, Timing


class DeadlockError(Re2naError, RuntimeError):
    """An engine waits for a token that never comes, or a token is never taken."""

    exit_code = CANNOT_RUN


def timing(program: Program) -> Timing:
    """When each instruction of one run starts and finishes; raises DeadlockError."""
    replay = _TimingReplay(program)
    while any(replay.queues.values()):
        replay.step()
    left = [(giver.name, taker.name) for (giver, taker), tokens in replay.tokens.items() if tokens]
    if left:
        raise DeadlockError(f"tokens are never taken: {left}")
    spans = tuple(replay.spans[index] for index in range(len(program.instructions)))
    return Timing(spans, max(span.finish for span in spans))


class _TimingReplay:
    def __init__(self, program: Program) -> None:
        self.arch = program.arch
        self.instructions = program.instructions
        self.queues = {
            engine: deque(index for index, at in enumerate(program.instructions) if at.engine is engine)
            for engine in ENGINES
        }
        self.tokens: dict[tuple[Engine, Engine], deque[int]] = {
            (giver, taker): deque() for giver in ENGINES for taker in ENGINES
        }
        self.free = dict.fromkeys(ENGINES, 0)
        self.bus = 0
        self.spans: dict[int, Span] = {}

    def step(self) -> None:
        starts = {engine: self._start(engine) for engine in ENGINES}
        possible = {engine: start for engine, start in starts.items() if start is not None}
        if not possible:
            stuck = [f"{queue[0]} ({self.instructions[queue[0]].name})" for queue in self.queues.values() if queue]
            raise DeadlockError(f"instructions wait for ever: {', '.join(stuck)}")
        engine = min(possible, key=lambda name: (possible[name], name))
        self._execute(engine, possible[engine])

    def _start(self, engine: Engine) -> int | None:
        """When the engine's next instruction could start, or None if it has none or lacks a token."""
        if not self.queues[engine]:
            return None
        at = self.instructions[self.queues[engine][0]]
        times = [self.free[engine]]
        if engine is not Engine.ARRAY:
            times.append(self.bus)
        if at.name == "HALT":
            if self.queues[Engine.LOAD] or self.queues[Engine.STORE]:
                return None
            times += [span.finish for span in self.spans.values()]
        for giver in _engines(at.wait):
            if not self.tokens[giver, engine]:
                return None
            times.append(self.tokens[giver, engine][0])
        return max(times)

    def _execute(self, engine: Engine, start: int) -> None:
        index = self.queues[engine].popleft()
        at = self.instructions[index]
        over = start + duration(self.arch, at)
        finish = over
        if engine is not Engine.ARRAY:
            self.bus = over
            finish = over + self.arch.dram_latency
        self.free[engine] = over
        self.spans[index] = Span(start, finish)
        for giver in _engines(at.wait):
            self.tokens[giver, engine].popleft()
        for taker in _engines(at.signal):
            self.tokens[engine, taker].append(finish)


def _engines(bits: int) -> list[Engine]:
    return [engine for engine in ENGINES if bits >> engine & 1]
