"""Do the tokens imply program order? Two instructions of different engines that touch the same byte, one of them writing, must be
ordered by tokens; otherwise the machine might run them the other way round.

Nothing is simulated: what an instruction touches follows from its fields (`runtime/instructions`), and what is over when it starts
from the tokens. Only pairs that no token orders are looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import Access, accesses

Clock: TypeAlias = dict[Engine, int]


class HazardError(Re2naError, RuntimeError):
    """No token orders two instructions that touch the same byte; the message names both."""

    exit_code = CANNOT_RUN


@dataclass(frozen=True)
class Conflict:
    """Instruction `later` need not wait until `earlier` is over, and both touch a byte: `address` is the lowest of `memory`."""

    earlier: int
    later: int
    memory: str
    address: int
    earlier_writes: bool
    later_writes: bool


def check(program: Program) -> None:
    """Raises HazardError, naming two instructions, the memory and the address, if tokens do not imply program order."""
    for found in conflicts(program):
        names = [f"instruction {index} ({program.instructions[index].name})" for index in (found.later, found.earlier)]
        does, did = ("writes" if writes else "reads" for writes in (found.later_writes, found.earlier_writes))
        raise HazardError(
            f"{names[0]}: {does} {found.memory} address {found.address}, which {names[1]} {did} before it: "
            "no token orders the two"
        )


def conflicts(program: Program) -> Iterator[Conflict]:
    """Every two instructions that conflict and are not ordered, once for each memory; by the later one, then the earlier one."""
    order = Order(program.instructions)
    touches = [accesses(at) for at in program.instructions]
    tables = {
        (engine, memory): _Table(program.instructions, touches, engine, memory)
        for engine in ENGINES
        for memory in ("SRAM", "DRAM")
    }
    for later, at in enumerate(program.instructions):
        found: dict[tuple[int, str], Conflict] = {}
        for engine in ENGINES:
            first = order.first_open(engine, later)
            if engine is at.engine or first >= later:
                continue
            for access in touches[later]:
                for earlier, other in tables[engine, access.memory].near(access, first, later):
                    address, key = access.first_common(other), (earlier, access.memory)
                    if address is not None and (key not in found or address < found[key].address):
                        found[key] = Conflict(earlier, later, access.memory, address, other.writes, access.writes)
        yield from (found[key] for key in sorted(found))


class Order:
    """What the tokens of a program order.

    `known[i]` counts, for each engine, how many of its instructions have surely finished when instruction i starts. An instruction
    that waits for ever is not in it.
    """

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.instructions = instructions
        self.known: dict[int, Clock] = {}
        self.queues = {engine: [i for i, at in enumerate(instructions) if at.engine is engine] for engine in ENGINES}
        self._tokens: dict[tuple[Engine, Engine], deque[Clock]] = {
            (giver, taker): deque() for giver in ENGINES for taker in ENGINES
        }
        self._latest = {engine: dict.fromkeys(ENGINES, 0) for engine in ENGINES}
        while any(self._advance(engine) for engine in ENGINES):
            pass

    def first_open(self, engine: Engine, index: int) -> int:
        """The first instruction of an engine that may not have finished when instruction `index` starts; else the program's end."""
        queue, end = self.queues[engine], len(self.instructions)
        position = self.known[index][engine] if index in self.known else end
        return queue[position] if position < len(queue) else end

    def _advance(self, engine: Engine) -> bool:
        """Start the next instruction of an engine, if its tokens are there."""
        position = self._latest[engine][engine]
        if position == len(self.queues[engine]):
            return False
        index = self.queues[engine][position]
        at = self.instructions[index]
        givers = [giver for giver in ENGINES if at.wait >> giver & 1]
        if not all(self._tokens[giver, engine] for giver in givers):
            return False
        clocks = [self._latest[engine], *(self._tokens[giver, engine].popleft() for giver in givers)]
        known = {name: max(clock[name] for clock in clocks) for name in ENGINES}
        self.known[index] = known
        after = {**known, engine: position + 1}
        self._latest[engine] = after
        for taker in ENGINES:
            if at.signal >> taker & 1:
                self._tokens[engine, taker].append(after)
        return True


class _Table:
    """All accesses of one engine to one memory, in program order, as columns."""

    def __init__(
        self, instructions: Sequence[Instruction], touches: Sequence[Sequence[Access]], engine: Engine, memory: str
    ) -> None:
        self.rows = [
            (index, access)
            for index, at in enumerate(instructions)
            if at.engine is engine
            for access in touches[index]
            if access.memory == memory
        ]
        self.index = np.array([index for index, _ in self.rows], np.int64)
        self.start = np.array([access.start for _, access in self.rows], np.int64)
        self.stop = np.array([access.stop for _, access in self.rows], np.int64)
        self.writes = np.array([access.writes for _, access in self.rows], np.bool_)

    def near(self, access: Access, first: int, last: int) -> Iterator[tuple[int, Access]]:
        """Those of instructions first..last-1 whose first and last byte leave room for a conflict with the access."""
        low, high = self.index.searchsorted((first, last))
        part = slice(low, high)
        near = (self.start[part] < access.stop) & (self.stop[part] > access.start)
        if not access.writes:
            near &= self.writes[part]
        return (self.rows[low + row] for row in near.nonzero()[0])
