"""DENSE: one part of a fully connected layer's sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES
from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.runtime.instructions import access
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.addresses import grid, present, weights
from tvm_re2na.runtime.instructions.base import ArrayMapping, Meaning, Operands, bitmap_bytes
from tvm_re2na.runtime.instructions.machine import Machine, SimulationError, accumulate, cut, need, start
from tvm_re2na.runtime.result import Counter


class DenseMeaning(Meaning, of="DENSE"):
    cause = work = "mac"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need(machine, Mode.DENSE)
        x = machine.sram.read(at["in_addr"] + grid((at["n"], at["in_image_stride"]), (at["in_c"], 1)))
        steps = present(machine, at, at["in_c"])
        lines = weights(machine, at)[: steps.size]
        if at["first"] == (machine.sums is not None):
            raise SimulationError("first = 1 while sums are in the PEs, or first = 0 while none are")
        if at["first"]:
            machine.sums = start(machine, np.tile(machine.sram.read_int32(at["bias_addr"], at["out_c"]), (at["n"], 1)))
        if machine.sums is None or machine.sums.shape != (at["n"], at["out_c"]):
            raise SimulationError("goes on from sums of another size")
        machine.sums = accumulate(machine, machine.sums, x[:, steps], lines)
        if at["last"]:
            target = at["out_addr"] + grid((at["n"], at["out_image_stride"]), (at["out_c"], 1))
            machine.sram.write(target, cut(machine, machine.sums, at["lsb"], at["lo"], at["hi"]))
            machine.sums = None
        return Counter(macs=at["n"] * at["steps"] * at["out_c"], overflows=machine.overflows)

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield access.read(at["in_addr"], at["in_c"], access.axis(at["n"], at["in_image_stride"]))
        yield from access.lines(at, at["in_c"])
        if at["first"]:
            yield access.read(at["bias_addr"], BIAS_BYTES * at["out_c"])
        if at["last"]:
            yield access.write(at["out_addr"], at["out_c"], access.axis(at["n"], at["out_image_stride"]))

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """Every step reads one input and a line of out_c weights, image by image, and the bitmap with each image; biases are read
        where the sum begins, results written where it ends."""
        results, steps = at["n"] * at["out_c"], at["steps"]
        read = at["n"] * (steps * (at["out_c"] + 1) + bitmap_bytes(at, at["in_c"]))
        return Operands(
            results * steps, read + (BIAS_BYTES * results if at["first"] else 0), results if at["last"] else 0
        )

    def mapping(self, arch: Architecture, at: Instruction) -> ArrayMapping:
        """Outputs on PEs, one image after the other."""
        return ArrayMapping(1, 1, arch.pe_count, at["n"] * at["out_c"], at["n"])
