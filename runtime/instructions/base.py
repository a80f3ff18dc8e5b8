"""What there is to know of an instruction's meaning; one subclass for each instruction, in a file of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.machine import Machine
from tvm_re2na.runtime.result import Counter


@dataclass(frozen=True)
class Operands:
    """Multiply-accumulates, bytes read from and written to the SRAM, bytes over the DRAM bus."""

    macs: int = 0
    sram_read: int = 0
    sram_written: int = 0
    dram: int = 0

    def __add__(self, other: Operands) -> Operands:
        return Operands(
            self.macs + other.macs,
            self.sram_read + other.sram_read,
            self.sram_written + other.sram_written,
            self.dram + other.dram,
        )


@dataclass(frozen=True)
class ArrayMapping:
    """How a CONV or DENSE lies on the array: `used` of `rows` and, on average over its passes, `filled` / `passes` of `columns`."""

    rows: int
    used: int
    columns: int
    filled: int
    passes: int


class Meaning(ABC):
    """`cause`: what the array's time goes to while the instruction works, which is the part `work` of its duration; None where it
    is none of the array's, or takes no time."""

    known: ClassVar[dict[str, type[Meaning]]] = {}  # by the name of the instruction
    cause: ClassVar[str | None] = None
    work: ClassVar[str] = "cycles"

    def __init_subclass__(cls, of: str | None = None) -> None:
        """`of` is the instruction that a class is the meaning of; what several have in common is of none."""
        if of is not None:
            Meaning.known[of] = cls

    @abstractmethod
    def run(self, machine: Machine, at: Instruction) -> Counter:
        """The definition of what it does. Raises SimulationError where it may not."""

    def accesses(self, at: Instruction) -> Iterator[Access]:
        """The bytes that it touches, found from the fields alone."""
        del at
        yield from ()

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """What it multiplies, reads and writes: exact counts, whatever the data. Padding counts as an operand, as it counts as a
        multiply-accumulate."""
        del arch, at
        return Operands()

    def mapping(self, arch: Architecture, at: Instruction) -> ArrayMapping | None:
        """How it lies on the array, if it multiplies."""
        del arch, at
        return None


def bitmap_bytes(at: Instruction, k: int) -> int:
    """Of the steps of k that have a line of weights; where all have one there is none."""
    return -(-k // 8) if at["steps"] < k else 0
