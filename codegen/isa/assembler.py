"""Instructions to text and back.

One instruction a line: its name, then `field=value` in any order; `wait=` and `signal=` take engines (`load,array`), every other
field a number (decimal, or hexadecimal with 0x). `#` starts a comment. `source`, `wait`, `signal` and fields with a default may
be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.isa.encoding import EncodeError, Instruction, make
from tvm_re2na.codegen.isa.table import BY_NAME, HEADER, Engine

_SOURCE = next(field for field in HEADER if field.name == "source")


class AssembleError(Re2naError, ValueError):
    """A line is no instruction; the message names the line, the field and the limit."""


def disassemble(instructions: Iterable[Instruction], sources: Sequence[str] = ()) -> str:
    """The listing: one line each, with its offset in the code, and the name of its source operator where `sources` has it."""
    lines, offset = [], 0
    for instruction in instructions:
        name = source_name(instruction, sources)
        lines.append(f"{instruction}  # 0x{offset:05x} {_one_line(name or '')}".rstrip())
        offset += instruction.format.size
    return "".join(f"{line}\n" for line in lines)


def source_name(instruction: Instruction, sources: Sequence[str]) -> str | None:
    """The operator that an instruction works for; None of HALT, which is every operator's, and where `sources` does not have it."""
    known = instruction.name != "HALT" and instruction.source < len(sources)
    return sources[instruction.source] if known else None


def assemble(text: str) -> list[Instruction]:
    """The inverse of `disassemble`; raises AssembleError."""
    instructions = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            try:
                instructions.append(_instruction(words))
            except (AssembleError, EncodeError) as error:
                raise AssembleError(f"line {number}: {error}") from error
    return instructions


def _instruction(words: list[str]) -> Instruction:
    name, values = words[0], _fields(words[0], words[1:])
    wait = _engines(name, "wait", values.pop("wait", ""))
    signal = _engines(name, "signal", values.pop("signal", ""))
    numbers = {field: _number(name, field, value) for field, value in values.items()}
    source = numbers.pop("source", 0)
    if not _SOURCE.low <= source <= _SOURCE.high:
        raise AssembleError(f"{name}: source = {source} is outside {_SOURCE.low}..{_SOURCE.high}")
    return make(name, source, **numbers).with_tokens(wait, signal)


def _fields(name: str, words: list[str]) -> dict[str, str]:
    row = BY_NAME.get(name)
    if row is None:
        raise AssembleError(f"unknown instruction '{name}'; known: {', '.join(BY_NAME)}")
    known = {"wait", "signal", "source", *(field.name for field in row.body)}
    values: dict[str, str] = {}
    for word in words:
        field, equals, value = word.partition("=")
        if not equals:
            raise AssembleError(f"{name}: '{word}' is no field=value")
        if field not in known:
            raise AssembleError(f"{name}: unknown field '{field}'; known: {', '.join(sorted(known))}")
        if field in values:
            raise AssembleError(f"{name}: field '{field}' is there twice")
        values[field] = value
    return values


def _engines(name: str, field: str, text: str) -> int:
    bits = 0
    for word in filter(None, text.split(",")):
        if word.upper() not in Engine.__members__:
            known = ", ".join(engine.name.lower() for engine in Engine)
            raise AssembleError(f"{name}: {field} names no engine '{word}'; known: {known}")
        bits |= 1 << Engine[word.upper()]
    return bits


def _number(name: str, field: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise AssembleError(f"{name}: {field} = '{text}' is no number") from None


def _one_line(text: str) -> str:
    return " ".join(text.split())
