"""RECONFIGURE switches the array's connections, HALT ends."""

from __future__ import annotations

from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.runtime.instructions.base import Meaning
from tvm_re2na.runtime.instructions.machine import Machine, SimulationError, need_no_sums
from tvm_re2na.runtime.result import Counter


class HaltMeaning(Meaning, of="HALT"):
    def run(self, machine: Machine, at: Instruction) -> Counter:
        del at
        need_no_sums(machine)
        return Counter()


class ReconfigureMeaning(Meaning, of="RECONFIGURE"):
    cause = "reconfigure"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need_no_sums(machine)
        mode = Mode(at["mode"])
        shapes = machine.arch.shapes if mode in (Mode.CONV, Mode.GROUPED) else machine.arch.shapes[:1]
        if at["rows"] not in [rows for rows, _ in shapes]:
            raise SimulationError(f"rows = {at['rows']}, the shapes in mode {mode.name} are {shapes}")
        machine.mode, machine.rows = mode, at["rows"]
        return Counter()
