"""POOL: the maximum over windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.runtime.instructions import access
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.addresses import output, seen
from tvm_re2na.runtime.instructions.base import Meaning, Operands
from tvm_re2na.runtime.instructions.machine import Machine, need
from tvm_re2na.runtime.result import Counter


class PoolMeaning(Meaning, of="POOL"):
    cause = work = "alu"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need(machine, Mode.POOL)
        inputs = seen(machine, at, (at["out_h"], at["out_w"]), np.arange(at["in_c"]), at["pad_value"])
        machine.sram.write(output(at, at["in_c"]), inputs.max(axis=(1, 2)).clip(at["lo"], at["hi"]))
        return Counter()

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield access.window(at, at["out_h"], at["out_w"])
        yield access.write(at["out_addr"], at["in_c"], *access.pixels(at, "out"))

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """Every result reads its whole window."""
        results = at["n"] * at["out_h"] * at["out_w"] * at["in_c"]
        return Operands(sram_read=results * at["kernel_h"] * at["kernel_w"], sram_written=results)
