"""CONV: a convolution, and what the output path does with its results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES, SUM_BYTES
from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.codegen.isa.durations import duration_parts
from tvm_re2na.runtime.instructions import access
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.addresses import output, present, seen, weights
from tvm_re2na.runtime.instructions.base import ArrayMapping, Meaning, Operands, bitmap_bytes
from tvm_re2na.runtime.instructions.machine import (
    Ints,
    Machine,
    SimulationError,
    accumulate,
    cut,
    fit,
    need,
    resume,
    shift_right,
    start,
)
from tvm_re2na.runtime.result import Counter


class ConvMeaning(Meaning, of="CONV"):
    cause = work = "mac"

    def run(self, machine: Machine, at: Instruction) -> Counter:
        need(machine, Mode.CONV if at["groups"] == 1 else Mode.GROUPED)
        _need_shape(machine, at)
        channels, outputs = at["in_c"] // at["groups"], at["out_c"] // at["groups"]
        size = (at["out_h"] * at["pool_h"], at["out_w"] * at["pool_w"])
        steps = present(machine, at, _products(at))
        lines = weights(machine, at)[: steps.size]
        sums = _begin(machine, at, at["n"] * size[0] * size[1])
        for group in range(at["groups"]):
            of_group = slice(group * outputs, (group + 1) * outputs)
            inputs = seen(machine, at, size, group * channels + np.arange(channels), padding=0)
            x = inputs.reshape(len(inputs), -1)[:, steps]
            sums[:, of_group] = accumulate(machine, sums[:, of_group], x, lines[:, of_group])
        if at["last"]:
            machine.sram.write(output(at, at["out_c"]), _finish(machine, at, sums))
        else:
            machine.sram.write_int32(at["sum_addr"], sums)
        return Counter(macs=sums.size * at["steps"], overflows=machine.overflows)

    def accesses(self, at: Instruction) -> Iterator[Access]:
        yield access.window(at, at["out_h"] * at["pool_h"], at["out_w"] * at["pool_w"])
        yield from access.lines(at, _products(at))
        if _head_bytes(at):
            yield access.read(at["bias_addr"], _head_bytes(at))
        if not at["first"]:
            yield access.read(at["sum_addr"], _sum_bytes(at))
        if at["add"] and at["last"]:
            yield access.read(at["add_addr"], at["out_c"], *access.pixels(at, "add"))
        if at["last"]:
            yield access.write(at["out_addr"], at["out_c"], *access.pixels(at, "out"))
        else:
            yield access.write(at["sum_addr"], _sum_bytes(at))

    def operands(self, arch: Architecture, at: Instruction) -> Operands:
        """Every step of every pass reads a line of out_c weights, and every convolution pixel reads one input of each
        group a step; the out_c biases, with LSBs, are read at the start of each pass, and the bitmap of the steps with
        it. The second operand of `add` is read once for each result, a parked sum where it goes on. An operand that
        several PEs share is read once: weights go along the array's rows, inputs along its columns. What the cycle
        model counts a step (docs/timing.md) is the same with every column in use."""
        lies, steps = self.mapping(arch, at), at["steps"]
        results = at["n"] * at["out_h"] * at["out_w"] * at["out_c"]
        every_pass = steps * at["out_c"] + _head_bytes(at) + bitmap_bytes(at, _products(at))
        read = lies.passes * every_pass + lies.filled * steps * at["groups"]
        read += (0 if at["first"] else _sum_bytes(at)) + (results if at["add"] and at["last"] else 0)
        return Operands(lies.filled * at["out_c"] * steps, read, results if at["last"] else _sum_bytes(at))

    def mapping(self, arch: Architecture, at: Instruction) -> ArrayMapping:
        """Pixels on columns."""
        parts = duration_parts(arch, at.name, at.values)
        return ArrayMapping(
            at["rows"], at["out_c"], parts["columns"], parts["outputs"] * parts["window"], parts["passes"]
        )


def _products(at: Instruction) -> int:
    """Of one sum."""
    return at["kernel_h"] * at["kernel_w"] * (at["in_c"] // at["groups"])


def _head_bytes(at: Instruction) -> int:
    """What is read at bias_addr: biases where the sums begin, then LSBs where they end."""
    return (BIAS_BYTES * at["first"] + at["cuts"] * at["last"]) * at["out_c"]


def _sum_bytes(at: Instruction) -> int:
    """Of all sums, parked."""
    return SUM_BYTES * at["n"] * at["out_h"] * at["pool_h"] * at["out_w"] * at["pool_w"] * at["out_c"]


def _begin(machine: Machine, at: Instruction, pixels: int) -> Ints:
    """The sums (pixels, out_c) before the first step of this part."""
    if at["first"]:
        bias = machine.sram.read_int32(at["bias_addr"], at["out_c"])
        return start(machine, np.tile(bias, (pixels, 1)))
    return resume(machine, machine.sram.read_int32(at["sum_addr"], pixels * at["out_c"]).reshape(pixels, -1))


def _finish(machine: Machine, at: Instruction, sums: Ints) -> Ints:
    """Through the output path: (pixels of the output, out_c)."""
    results = _pooled(at, cut(machine, sums, _lsbs(machine, at), at["lo"], at["hi"]))
    if not at["add"]:
        return results
    return _added(machine.arch, at, results, machine.sram.read(output(at, at["out_c"], "add")))


def _lsbs(machine: Machine, at: Instruction) -> Ints:
    """Of each channel; one that no shift can take counts as the widest."""
    if not at["cuts"]:
        return np.full(at["out_c"], at["lsb"])
    behind = BIAS_BYTES * at["out_c"] * at["first"]
    found = machine.sram.read(at["bias_addr"] + behind + np.arange(at["out_c"])) % 256
    return np.minimum(found, machine.arch.acc_bits - 1)


def _pooled(at: Instruction, results: Ints) -> Ints:
    """The maximum of each pool_h x pool_w window; (pixels, channels) to the same."""
    channels = results.shape[1]
    split = results.reshape(at["n"], at["out_h"], at["pool_h"], at["out_w"], at["pool_w"], channels)
    kept: Ints = split.max(axis=(2, 4))
    return kept.reshape(-1, channels)


def _added(arch: Architecture, at: Instruction, results: Ints, operand: Ints) -> Ints:
    total = shift_right(arch, results, at["shift_a"]) + shift_right(arch, operand, at["shift_b"])
    return fit(arch, total, at["add_lo"], at["add_hi"])


def _need_shape(machine: Machine, at: Instruction) -> None:
    columns = machine.arch.pe_count // machine.rows
    if at["rows"] != machine.rows:
        raise SimulationError(f"rows = {at['rows']}, the array's shape has {machine.rows}")
    if at["pool_h"] * at["pool_w"] > (1 if at["add"] else columns):
        raise SimulationError(f"window of {at['pool_h']} x {at['pool_w']}, add = {at['add']}, {columns} columns")
