"""What one instruction multiplies, reads and writes: exact counts, whatever the data.

CONV    every step of every pass reads a line of out_c weights, and every convolution pixel reads one input of each group a
        step; the out_c biases are read at the start of each pass. An operand that several PEs share is read once: weights go
        along the array's rows, inputs along its columns.
DENSE   every step reads one input and a line of out_c weights, image by image; biases are read where the sum begins, results
        written where it ends.
POOL    every result reads its whole window; ELTWISE reads one or two operands for each result.
LOAD    writes the SRAM, STORE reads it; both move the same bytes over the DRAM bus.

Padding counts as an operand, as it counts as a multiply-accumulate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import BIAS_BYTES
from tvm_re2na.codegen.isa import Instruction


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


def multiply_cycles(arch: Architecture, at: Instruction) -> int:
    """The multiply part of a CONV or DENSE, in cycles: passes x steps x mac_interval."""
    return mapping(arch, at).passes * _steps(at) * arch.mac_interval


def mapping(arch: Architecture, at: Instruction) -> Mapping:
    """Of a CONV (pixels on columns) or a DENSE (outputs on PEs, one image after the other)."""
    if at.name == "DENSE":
        return Mapping(1, 1, arch.pe_count, at["n"] * at["out_c"], at["n"])
    pixels = at["n"] * at["out_h"] * at["out_w"]
    return Mapping(arch.array_rows, at["out_c"], arch.array_columns, pixels, -(-pixels // arch.array_columns))


def _steps(at: Instruction) -> int:
    if at.name == "DENSE":
        return at["in_c"]
    return at["kernel_h"] * at["kernel_w"] * at["in_c"] // at["groups"]


def _conv(arch: Architecture, at: Instruction) -> Operands:
    lies, steps = mapping(arch, at), _steps(at)
    results = lies.filled * at["out_c"]
    read = steps * (lies.passes * at["out_c"] + lies.filled * at["groups"]) + lies.passes * BIAS_BYTES * at["out_c"]
    return Operands(results * steps, read, results)


def _dense(arch: Architecture, at: Instruction) -> Operands:
    del arch
    results, steps = at["n"] * at["out_c"], _steps(at)
    read = at["n"] * steps * (at["out_c"] + 1) + (BIAS_BYTES * results if at["first"] else 0)
    return Operands(results * steps, read, results if at["last"] else 0)


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
