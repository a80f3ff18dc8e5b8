"""ELTWISE: the sum of one or two shifted operands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.runtime.instructions import access
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.machine import Machine, fit, need, shift_right
from tvm_re2na.runtime.result import Counter


class EltwiseMeaning(Meaning, of="ELTWISE"):
    cause = work = "alu"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need(machine, Mode.ELTWISE)
        index = np.arange(at["bytes"])
        total = shift_right(machine.arch, machine.sram.read(at["a_addr"] + index), at["shift_a"])
        if not at["unary"]:
            total = total + shift_right(machine.arch, machine.sram.read(at["b_addr"] + index), at["shift_b"])
        machine.sram.write(at["out_addr"] + index, fit(machine.arch, total, at["lo"], at["hi"]))
        return Counter()

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield access.read(at["a_addr"], at["bytes"])
        if not at["unary"]:
            yield access.read(at["b_addr"], at["bytes"])
        yield access.write(at["out_addr"], at["bytes"])

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """One or two operands for each result."""
        return Operands(sram_read=at["bytes"] * (1 if at["unary"] else 2), sram_written=at["bytes"])
