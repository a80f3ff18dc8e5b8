"""What a run gives back, the same from both simulators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Int8Array: TypeAlias = npt.NDArray[np.int8]
Counts: TypeAlias = npt.NDArray[np.uint64]
INT8 = np.dtype(np.int8)


@dataclass(frozen=True)
class Counter:
    """Multiply-accumulates (those with padding included), accumulator overflows, and bytes over the DRAM bus."""

    macs: int = 0
    overflows: int = 0
    dram_bytes: int = 0

    def __add__(self, other: Counter) -> Counter:
        return Counter(self.macs + other.macs, self.overflows + other.overflows, self.dram_bytes + other.dram_bytes)


@dataclass(eq=False)  # one of a run: to freeze it takes a microsecond
class Counters:
    """Of one run. The tables are uint64 (n, 3): MACs, overflows, DRAM bytes of each instruction, and of each source operator (an
    index into `Program.sources`); `sums` are those of all instructions."""

    instruction_table: Counts
    source_table: Counts
    sums: Sequence[int]

    @cached_property
    def total(self) -> Counter:
        return Counter(*self.sums)

    @cached_property
    def instructions(self) -> tuple[Counter, ...]:
        return tuple(Counter(*row) for row in self.instruction_table.tolist())

    @cached_property
    def sources(self) -> tuple[Counter, ...]:
        return tuple(Counter(*row) for row in self.source_table.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counters):
            return NotImplemented
        tables = ((self.instruction_table, other.instruction_table), (self.source_table, other.source_table))
        return self.total == other.total and all(np.array_equal(mine, its) for mine, its in tables)


@dataclass
class RunResult:
    """`outputs` in program order, each int8 in the caller's shape."""

    outputs: list[Int8Array]
    counters: Counters


@dataclass(frozen=True)
class Span:
    """When an instruction has its engine (from `start`) and when it gives its tokens (`finish`), in cycles from the start."""

    start: int
    finish: int


@dataclass(frozen=True)
class Timing:
    """Of one run, whatever the data: one span per instruction, and the cycles until everything is over."""

    instructions: tuple[Span, ...]
    cycles: int


class Shaped(Protocol):
    """An input as a program or a loaded program describes it."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Port:
    """An input or output of a loaded program, in the caller's shape."""

    name: str
    shape: tuple[int, ...]


def check_inputs(ports: Sequence[Shaped], inputs: Sequence[Int8Array]) -> list[Int8Array]:
    """The inputs, contiguous; raises ValueError naming the tensor, what was given and what is expected."""
    if len(inputs) != len(ports):
        names = ", ".join(port.name for port in ports)
        raise ValueError(f"{len(inputs)} inputs given, the program takes {len(ports)}: {names}")
    checked = []
    for port, value in zip(ports, inputs, strict=True):
        array = np.asarray(value)
        if array.dtype != INT8 or array.shape != port.shape:
            raise ValueError(f"input '{port.name}': {array.dtype}{array.shape} given, int8{port.shape} expected")
        checked.append(np.ascontiguousarray(array))
    return checked
