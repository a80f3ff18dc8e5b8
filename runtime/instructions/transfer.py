"""LOAD and STORE: the same bytes over the DRAM bus, in planes of rows of runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.access import Access, axis
from tvm_re2na.runtime.instructions.addresses import grid
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.machine import Ints, Machine, Memory
from tvm_re2na.runtime.result import Counter


class _Transfer(Meaning):
    """From one memory to the other; their names are those in the instruction's fields."""

    source: ClassVar[str]
    target: ClassVar[str]

    def run(self, machine: Machine, at: Instruction) -> Counter:
        memories: dict[str, Memory] = {"sram": machine.sram, "dram": machine.dram}
        values = memories[self.source].read(_addresses(at, self.source))
        memories[self.target].write(_addresses(at, self.target), values)
        return Counter(dram_bytes=_moved(at))

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield _access(at, self.source, writes=False)
        yield _access(at, self.target, writes=True)


class LoadMeaning(_Transfer, of="LOAD"):
    source, target = "dram", "sram"

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_written=_moved(at), dram=_moved(at))


class StoreMeaning(_Transfer, of="STORE"):
    source, target = "sram", "dram"

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_read=_moved(at), dram=_moved(at))


def _moved(at: Instruction) -> int:
    return at["bytes"] * at["rows"] * at["planes"]


def _addresses(at: Instruction, memory: str) -> Ints:
    planes = at["planes"], at[f"{memory}_plane_stride"]
    return at[f"{memory}_addr"] + grid(planes, (at["rows"], at[f"{memory}_row_stride"]), (at["bytes"], 1))


def _access(at: Instruction, memory: str, writes: bool) -> Access:
    planes, rows = (axis(at[f"{side}s"], at[f"{memory}_{side}_stride"]) for side in ("plane", "row"))
    return Access(memory.upper(), writes, at[f"{memory}_addr"], at["bytes"], (planes, rows))
