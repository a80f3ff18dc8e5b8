"""LOAD and STORE: the same bytes over the DRAM bus, in planes of rows of runs."""

from __future__ import annotations

from collections.abc import Iterator

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.access import Access, axis
from tvm_re2na.runtime.instructions.addresses import grid
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.machine import Ints, Machine
from tvm_re2na.runtime.result import Counter


class Load(Meaning):
    def run(self, machine: Machine, at: Instruction) -> Counter:
        machine.sram.write(_addresses(at, "sram"), machine.dram.read(_addresses(at, "dram")))
        return Counter(dram_bytes=_moved(at))

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield _access(at, "DRAM", writes=False)
        yield _access(at, "SRAM", writes=True)

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_written=_moved(at), dram=_moved(at))


class Store(Meaning):
    def run(self, machine: Machine, at: Instruction) -> Counter:
        machine.dram.write(_addresses(at, "dram"), machine.sram.read(_addresses(at, "sram")))
        return Counter(dram_bytes=_moved(at))

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield _access(at, "SRAM", writes=False)
        yield _access(at, "DRAM", writes=True)

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_read=_moved(at), dram=_moved(at))


def _moved(at: Instruction) -> int:
    return at["bytes"] * at["rows"] * at["planes"]


def _addresses(at: Instruction, memory: str) -> Ints:
    planes = at["planes"], at[f"{memory}_plane_stride"]
    return at[f"{memory}_addr"] + grid(planes, (at["rows"], at[f"{memory}_row_stride"]), (at["bytes"], 1))


def _access(at: Instruction, memory: str, writes: bool) -> Access:
    name = memory.lower()
    planes, rows = (axis(at[f"{side}s"], at[f"{name}_{side}_stride"]) for side in ("plane", "row"))
    return Access(memory, writes, at[f"{name}_addr"], at["bytes"], (planes, rows))
