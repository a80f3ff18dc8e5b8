"""LOOKUP: each byte replaced by its entry of a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import TABLE_BYTES, Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions import access
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.addresses import output
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.machine import Machine, SimulationError, need_no_sums
from tvm_re2na.runtime.result import Counter


class LookupMeaning(Meaning, of="LOOKUP"):
    cause, work = "alu", "lookups"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need_no_sums(machine)
        if not machine.arch.activation_table:
            raise SimulationError("the machine has no activation table (activation_table = 0)")
        table = machine.sram.read(at["table_addr"] + np.arange(TABLE_BYTES))
        inputs = machine.sram.read(output(at, at["in_c"], "in"))
        machine.sram.write(output(at, at["in_c"]), table[inputs & 0xFF])
        return Counter()

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield access.read(at["in_addr"], at["in_c"], *access.pixels(at, "in"))
        yield access.read(at["table_addr"], TABLE_BYTES)
        yield access.write(at["out_addr"], at["in_c"], *access.pixels(at, "out"))

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """The entries are read once, to fill the tables; each result is of an input and of an entry, which counts as a byte of the
        SRAM: so small a memory takes less."""
        results = at["n"] * at["out_h"] * at["out_w"] * at["in_c"]
        return Operands(sram_read=TABLE_BYTES + 2 * results, sram_written=results)
