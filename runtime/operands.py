"""What one instruction multiplies, reads and writes: exact counts, whatever the data.

CONV    every step of every pass reads a line of out_c weights, and every convolution pixel reads one input of each group a
        step; the out_c biases are read at the start of each pass, and the bitmap of the steps with it. The second operand of
        `add` is read once for each result. An operand that several PEs share is read once: weights go along the array's rows,
        inputs along its columns. What the cycle model counts a step (docs/timing.md) is the same with every column in use.
DENSE   every step reads one input and a line of out_c weights, image by image, and the bitmap with each image; biases are read
        where the sum begins, results written where it ends.
POOL    every result reads its whole window; ELTWISE reads one or two operands for each result.
LOAD    writes the SRAM, STORE reads it; both move the same bytes over the DRAM bus.

Padding counts as an operand, as it counts as a multiply-accumulate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bytes import BIAS_BYTES
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.durations import duration_parts


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
class Mapping:
    """How a CONV or DENSE lies on the array: `used` of `rows` and, on average over its passes, `filled` / `passes` of `columns`."""

    rows: int
    used: int
    columns: int
    filled: int
    passes: int


def operands(arch: Architecture, at: Instruction) -> Operands:
    """Counts of one instruction; none for RECONFIGURE and HALT."""
    count = _COUNTS.get(at.name)
    return count(arch, at) if count else Operands()


def mapping(arch: Architecture, at: Instruction) -> Mapping:
    """Of a CONV (pixels on columns) or a DENSE (outputs on PEs, one image after the other)."""
    if at.name == "DENSE":
        return Mapping(1, 1, arch.pe_count, at["n"] * at["out_c"], at["n"])
    parts = duration_parts(arch, at.name, at.values)
    return Mapping(at["rows"], at["out_c"], parts["columns"], parts["outputs"] * parts["window"], parts["passes"])


def _conv(arch: Architecture, at: Instruction) -> Operands:
    lies, steps = mapping(arch, at), at["steps"]
    results = lies.filled // (at["pool_h"] * at["pool_w"]) * at["out_c"]
    every_pass = steps * at["out_c"] + BIAS_BYTES * at["out_c"] + _bitmap_bytes(at)
    read = lies.passes * every_pass + lies.filled * steps * at["groups"] + (results if at["add"] else 0)
    return Operands(lies.filled * at["out_c"] * steps, read, results)


def _dense(arch: Architecture, at: Instruction) -> Operands:
    del arch
    results, steps = at["n"] * at["out_c"], at["steps"]
    read = at["n"] * (steps * (at["out_c"] + 1) + _bitmap_bytes(at)) + (BIAS_BYTES * results if at["first"] else 0)
    return Operands(results * steps, read, results if at["last"] else 0)


def _bitmap_bytes(at: Instruction) -> int:
    """Of the steps that have a line of weights; where all have one there is none."""
    window = 1 if at.name == "DENSE" else at["kernel_h"] * at["kernel_w"]
    k = window * at["in_c"] // (1 if at.name == "DENSE" else at["groups"])
    return -(-k // 8) if at["steps"] < k else 0


def _pool(arch: Architecture, at: Instruction) -> Operands:
    del arch
    results = at["n"] * at["out_h"] * at["out_w"] * at["in_c"]
    return Operands(0, results * at["kernel_h"] * at["kernel_w"], results)


def _eltwise(arch: Architecture, at: Instruction) -> Operands:
    del arch
    return Operands(0, at["bytes"] * (1 if at["unary"] else 2), at["bytes"])


def _load(arch: Architecture, at: Instruction) -> Operands:
    del arch
    moved = at["bytes"] * at["rows"] * at["planes"]
    return Operands(0, 0, moved, moved)


def _store(arch: Architecture, at: Instruction) -> Operands:
    del arch
    moved = at["bytes"] * at["rows"] * at["planes"]
    return Operands(0, moved, 0, moved)


_COUNTS: dict[str, Callable[[Architecture, Instruction], Operands]] = {
    "CONV": _conv,
    "DENSE": _dense,
    "POOL": _pool,
    "ELTWISE": _eltwise,
    "LOAD": _load,
    "STORE": _store,
}
