"""LOAD and STORE: the same bytes over the DRAM bus, in planes of rows of runs; LOAD may decode one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.coding.stream import MOST_BYTES
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.access import Access, axis
from tvm_re2na.runtime.instructions.addresses import grid
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.decoder import decode
from tvm_re2na.runtime.instructions.machine import Ints, Machine, Memory, OutOfBounds, SimulationError
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

    def run(self, machine: Machine, at: Instruction) -> Counter:
        if not at["coded"]:
            return super().run(machine, at)
        _check_coded(machine, at)
        stream = machine.dram.read(at["dram_addr"] + np.arange(at["coded"]))
        machine.sram.write(at["sram_addr"] + np.arange(at["bytes"]), decode(machine.arch, stream, at["bytes"]))
        return Counter(dram_bytes=at["coded"])

    def accesses(self, at: Instruction) -> Iterator[Access]:
        if at["coded"]:
            yield Access("DRAM", False, at["dram_addr"], at["coded"])
            yield Access("SRAM", True, at["sram_addr"], at["bytes"])
        else:
            yield from super().accesses(at)

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_written=_moved(at), dram=at["coded"] or _moved(at))


class StoreMeaning(_Transfer, of="STORE"):
    source, target = "sram", "dram"

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        return Operands(sram_read=_moved(at), dram=_moved(at))


def _check_coded(machine: Machine, at: Instruction) -> None:
    planes, rows, size = at["planes"], at["rows"], at["bytes"]
    if planes > 1 or rows > 1 or size > MOST_BYTES:
        raise SimulationError(
            f"{planes} planes of {rows} rows of {size} bytes are coded, it can be one run of {MOST_BYTES}"
        )
    first, behind = machine.constants
    if at["dram_addr"] < first or at["dram_addr"] + at["coded"] > behind:
        raise OutOfBounds(f"decodes what is not among the constants, {first}..{behind}")


def _moved(at: Instruction) -> int:
    return at["bytes"] * at["rows"] * at["planes"]


def _addresses(at: Instruction, memory: str) -> Ints:
    planes = at["planes"], at[f"{memory}_plane_stride"]
    return at[f"{memory}_addr"] + grid(planes, (at["rows"], at[f"{memory}_row_stride"]), (at["bytes"], 1))


def _access(at: Instruction, memory: str, writes: bool) -> Access:
    planes, rows = (axis(at[f"{side}s"], at[f"{memory}_{side}_stride"]) for side in ("plane", "row"))
    return Access(memory.upper(), writes, at[f"{memory}_addr"], at["bytes"], (planes, rows))
