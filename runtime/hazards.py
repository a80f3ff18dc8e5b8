"""Do the tokens imply program order? Two instructions of different engines that touch the same byte, one of them writing, must be
ordered by tokens; otherwise the machine might run them the other way round.

`known[i]` counts, for each engine, how many of its instructions have surely finished when instruction i starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction

Clock: TypeAlias = dict[Engine, int]


class HazardError(RuntimeError):
    """No token orders two instructions that touch the same byte; the message names both."""


class Order:
    """What the tokens of a program order."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.instructions = instructions
        self.known: dict[int, Clock] = {}
        self.position: dict[int, int] = {}
        self._tokens: dict[tuple[Engine, Engine], deque[Clock]] = {
            (giver, taker): deque() for giver in ENGINES for taker in ENGINES
        }
        self._latest = {engine: dict.fromkeys(ENGINES, 0) for engine in ENGINES}
        queues = {engine: deque(i for i, at in enumerate(instructions) if at.engine is engine) for engine in ENGINES}
        while any(self._advance(queues[engine]) for engine in ENGINES):
            pass

    def before(self, first: int, second: int) -> bool:
        """Whether `first` has surely finished when `second` starts. An instruction that never starts comes after all others."""
        engine = self.instructions[first].engine
        return second not in self.known or self.known[second][engine] > self.position.get(first, len(self.instructions))

    def _advance(self, queue: deque[int]) -> bool:
        """Start the next instruction of an engine, if its tokens are there."""
        if not queue:
            return False
        at = self.instructions[queue[0]]
        givers = [engine for engine in ENGINES if at.wait >> engine & 1]
        if not all(self._tokens[giver, at.engine] for giver in givers):
            return False
        clocks = [self._latest[at.engine], *(self._tokens[giver, at.engine].popleft() for giver in givers)]
        known = {engine: max(clock[engine] for clock in clocks) for engine in ENGINES}
        index = queue.popleft()
        self.known[index], self.position[index] = known, known[at.engine]
        after = {**known, at.engine: known[at.engine] + 1}
        self._latest[at.engine] = after
        for taker in ENGINES:
            if at.signal >> taker & 1:
                self._tokens[at.engine, taker].append(after)
        return True


class Watch:
    """Remembers who touched each byte of a memory last, and raises HazardError where program order alone orders two accesses."""

    def __init__(self, memory: str, size: int, order: Order) -> None:
        self.memory = memory
        self.order = order
        self.writer = np.full(size, -1, np.int32)
        self.reader = {engine: np.full(size, -1, np.int32) for engine in ENGINES}

    def read(self, index: int, addresses: npt.NDArray[np.int64]) -> None:
        self._check(index, "reads", addresses, self.writer, "writes")
        self.reader[self.order.instructions[index].engine][addresses] = index

    def write(self, index: int, addresses: npt.NDArray[np.int64]) -> None:
        self._check(index, "writes", addresses, self.writer, "writes")
        for reader in self.reader.values():
            self._check(index, "writes", addresses, reader, "reads")
        self.writer[addresses] = index

    def _check(
        self, index: int, does: str, addresses: npt.NDArray[np.int64], last: npt.NDArray[np.int32], did: str
    ) -> None:
        touched = last[addresses]
        engine = self.order.instructions[index].engine
        for other in np.unique(touched):
            earlier = int(other)
            if earlier < 0 or self.order.instructions[earlier].engine is engine or self.order.before(earlier, index):
                continue
            name, address = self.order.instructions[earlier].name, int(addresses[touched == other].min())
            raise HazardError(
                f"{does} {self.memory} address {address}, which instruction {earlier} ({name}) {did} before it: "
                "no token orders the two"
            )
