"""Stage `sync`: dependency tokens.

The engines run side by side; what must not overtake is found from the bytes that instructions read and write: a later
instruction that touches what an earlier one of another engine wrote (or writes what it read) waits for a token from it. Engines
work in order, so one token stands for everything before it; tokens that follow from others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction


@dataclass(frozen=True)
class Access:
    """Bytes start..stop of one memory, of which each `stride` bytes only the first `run` are touched (0: all of them)."""

    memory: str
    start: int
    stop: int
    run: int = 0
    stride: int = 0

    def conflicts(self, other: Access) -> bool:
        if self.memory != other.memory or self.stop <= other.start or other.stop <= self.start:
            return False
        if self.stride and self.stride == other.stride:
            gap = (other.start - self.start) % self.stride
            return gap < self.run or gap + other.run > self.stride
        return True


@dataclass(frozen=True)
class Step:
    """An instruction and what it touches."""

    instruction: Instruction
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()

    def must_follow(self, earlier: Step) -> bool:
        touched = self.reads + self.writes
        after_write = any(mine.conflicts(theirs) for mine in touched for theirs in earlier.writes)
        return after_write or any(mine.conflicts(theirs) for mine in self.writes for theirs in earlier.reads)


def add_tokens(steps: list[Step]) -> list[Instruction]:
    """The instructions with their `wait` and `signal` sets."""
    queues: dict[Engine, list[int]] = {engine: [] for engine in ENGINES}
    known: list[dict[Engine, int]] = []  # per step: how far each engine's queue is known to have finished
    latest: dict[Engine, dict[Engine, int]] = {engine: dict.fromkeys(ENGINES, -1) for engine in ENGINES}
    waits, signals = [0] * len(steps), [0] * len(steps)
    for index, step in enumerate(steps):
        engine = step.instruction.engine
        clock = latest[engine]
        for other in ENGINES:
            position = -1 if other is engine else _last_conflict(step, steps, queues[other], clock[other])
            if position > clock[other]:
                source = queues[other][position]
                waits[index] |= 1 << other
                signals[source] |= 1 << engine
                clock = {name: max(clock[name], known[source][name]) for name in ENGINES}
                clock[other] = max(clock[other], position)
        latest[engine] = clock
        known.append(dict(clock))
        queues[engine].append(index)
    return [step.instruction.with_tokens(waits[i], signals[i]) for i, step in enumerate(steps)]


def _last_conflict(step: Step, steps: list[Step], queue: list[int], settled: int) -> int:
    """Position in `queue` of the last step that `step` must follow, or `settled` if all of those are known to be over."""
    for position in range(len(queue) - 1, settled, -1):
        if step.must_follow(steps[queue[position]]):
            return position
    return settled
