"""What `vectors.json` says of a program, whatever it is run on."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Iterator
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.listing import rows
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.result import Timing

FORMAT = 1
WORD = 64  # bits of the instruction stream


def describe(program: Program, timing: Timing) -> dict[str, Any]:
    """Machine, memories, tensors, and every instruction with its cycles."""
    arch = program.arch
    return {
        "format": FORMAT,
        "program": {"sha256": hashlib.sha256(program.to_bytes()).hexdigest(), "cycles": timing.cycles},
        "machine": _machine(arch),
        "memories": {
            "sram": {"width": 8, "words": arch.sram_bytes},
            "dram": {"width": 8, "words": program.dram_bytes},
            "instructions": {"width": WORD, "words": sum(map(_words, program.instructions))},
            "sums": {"width": arch.acc_bits, "words": arch.pe_count},
        },
        "inputs": list(map(_tensor, program.inputs)),
        "outputs": list(map(_tensor, program.outputs)),
        "instructions": list(_instructions(program, timing)),
    }


def touches(at: Instruction) -> Iterator[dict[str, Any]]:
    """The bytes that an instruction reads and writes."""
    for access in meaning(at).accesses(at):
        starts, stops = access.runs
        runs = [[start, stop - start] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        yield {"memory": access.memory.lower(), "writes": access.writes, "runs": runs}


def _instructions(program: Program, timing: Timing) -> Iterator[dict[str, Any]]:
    """As `disasm --json` has them, but for the offset, which is in words of the stream."""
    for row, at, span in zip(rows(program), program.instructions, timing.instructions, strict=True):
        place = {"word": row.pop("offset") * 8 // WORD, "words": _words(at)}
        yield row | place | {"start": span.start, "finish": span.finish}


def _words(at: Instruction) -> int:
    return at.format.size * 8 // WORD


def _machine(arch: Architecture) -> dict[str, int | str]:
    values = {field.name: getattr(arch, field.name) for field in dataclasses.fields(arch)}
    return {name: value.name.lower() if isinstance(value, enum.Enum) else value for name, value in values.items()}


def _tensor(tensor: ProgramTensor) -> dict[str, Any]:
    return {**dataclasses.asdict(tensor), "shape": list(tensor.shape), "stored": list(tensor.stored)}
