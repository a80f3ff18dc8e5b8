"""Pass `sync`: dependency tokens.

The engines run side by side; what must not overtake is found from the bytes that instructions read and write: a later
instruction that touches what an earlier one of another engine wrote (or writes what it read) waits for a token from it. Engines
work in order, so one token stands for everything before it; tokens that follow from others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction


@dataclass(frozen=True)
class ByteRange:
    """Bytes start..stop of one memory, of which each `stride` bytes only the first `run` are touched (0: all of them)."""

    memory: str
    start: int
    stop: int
    run: int = 0
    stride: int = 0

    def conflicts(self, other: ByteRange) -> bool:
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
    reads: tuple[ByteRange, ...] = ()
    writes: tuple[ByteRange, ...] = ()


class _History:
    """What one engine has touched, most recently last; touching the same bytes again forgets the earlier time."""

    def __init__(self) -> None:
        self.count = 0
        self._steps: list[int] = []
        self._touched: dict[tuple[str, bool], dict[ByteRange, int]] = {}

    def append(self, index: int, step: Step) -> None:
        self._steps.append(index)
        for written, accesses in ((False, step.reads), (True, step.writes)):
            for access in accesses:
                recent = self._touched.setdefault((access.memory, written), {})
                recent.pop(access, None)
                recent[access] = self.count
        self.count += 1

    def step(self, position: int) -> int:
        """Index in the program of the engine's instruction number `position`."""
        return self._steps[position]

    def last_conflict(self, step: Step, settled: int) -> int:
        """Number of the last instruction that `step` must follow, or `settled` if those are all known to be over."""
        for access in step.reads:
            settled = self._last(access, True, settled)
        for access in step.writes:
            settled = self._last(access, False, self._last(access, True, settled))
        return settled

    def _last(self, access: ByteRange, written: bool, settled: int) -> int:
        for other, position in reversed(self._touched.get((access.memory, written), {}).items()):
            if position <= settled:
                break
            if access.conflicts(other):
                return position
        return settled


def add_tokens(steps: list[Step]) -> list[Instruction]:
    """The instructions with their `wait` and `signal` sets."""
    histories = {engine: _History() for engine in ENGINES}
    known: list[dict[Engine, int]] = []  # per step: how many instructions of each engine are over when it starts
    latest = {engine: dict.fromkeys(ENGINES, -1) for engine in ENGINES}
    waits, signals = [0] * len(steps), [0] * len(steps)
    for index, step in enumerate(steps):
        engine = step.instruction.engine
        clock = latest[engine]
        for giver, other, position in _givers(histories, step, clock):
            if position > clock[other]:
                waits[index] |= 1 << other
                signals[giver] |= 1 << engine
                clock = {name: max(clock[name], known[giver][name]) for name in ENGINES} | {other: position}
        latest[engine] = clock
        known.append(clock)
        histories[engine].append(index, step)
    return [step.instruction.with_tokens(waits[i], signals[i]) for i, step in enumerate(steps)]


def _givers(histories: dict[Engine, _History], step: Step, clock: dict[Engine, int]) -> list[tuple[int, Engine, int]]:
    """What the step must follow: index, engine and position there. The latest first, as its token may imply the others."""
    found = []
    for other, history in histories.items():
        position = clock[other] if other is step.instruction.engine else history.last_conflict(step, clock[other])
        if position > clock[other]:
            found.append((history.step(position), other, position))
    return sorted(found, reverse=True)
