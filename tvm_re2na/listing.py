"""`re2na disasm`: a program's instructions, for people and for programs."""

from __future__ import annotations

from typing import Any

from tvm_re2na.codegen.isa.assembler import disassemble, source_name
from tvm_re2na.codegen.isa.encoding import Instruction
from tvm_re2na.codegen.isa.table import Engine
from tvm_re2na.codegen.program import Program


def listing(program: Program) -> str:
    """The assembler's text."""
    return disassemble(program.instructions, [source.name for source in program.sources])


def rows(program: Program) -> list[dict[str, Any]]:
    """The contract of docs/json.md."""
    found, offset = [], 0
    for index, instruction in enumerate(program.instructions):
        found.append({"index": index, "offset": offset, **_fields(program, instruction)})
        offset += instruction.format.size
    return found


def _fields(program: Program, instruction: Instruction) -> dict[str, Any]:
    return {
        "name": instruction.name,
        "engine": instruction.engine.name.lower(),
        "layer": source_name(instruction, [source.name for source in program.sources]),
        "wait": _engines(instruction.wait),
        "signal": _engines(instruction.signal),
        "fields": dict(instruction.values),
    }


def _engines(bits: int) -> list[str]:
    return [engine.name.lower() for engine in Engine if bits >> engine & 1]
