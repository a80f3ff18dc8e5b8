"""Instructions as values, their bit strings and their text; all of it follows the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.isa.table import BY_NAME, BY_OPCODE, HEADER, Engine, Field, InstructionFormat


class EncodeError(Re2naError, ValueError):
    """A field is missing, unknown or out of its range."""


class DecodeError(Re2naError, ValueError):
    """The bytes are no instruction stream; the message names the offset."""


@dataclass(frozen=True)
class Instruction:
    """One instruction. `values` holds the body's fields; build it with `make`, which checks names and ranges."""

    format: InstructionFormat
    values: dict[str, int]
    wait: int = 0
    signal: int = 0
    source: int = 0

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def engine(self) -> Engine:
        return self.format.engine

    def with_tokens(self, wait: int, signal: int) -> Instruction:
        return replace(self, wait=wait, signal=signal)

    def __str__(self) -> str:
        """The assembler's line for this instruction, without the fields that are what they are by default."""
        tokens = [
            f"{word}={_engine_set(bits)}" for word, bits in (("wait", self.wait), ("signal", self.signal)) if bits
        ]
        told = [field for field in self.format.body if self.values[field.name] != field.default]
        body = [f"{field.name}={_number(field, self.values[field.name])}" for field in told]
        return " ".join([self.name, *tokens, f"source={self.source}", *body])


def make(name: str, source: int = 0, **values: int) -> Instruction:
    """An instruction by name; fields not given take their default.

    Raises EncodeError for an unknown field, a missing one without default, or a value that is out of range on any machine. What a
    field may hold on one machine, and beside others, `limits.py` says.
    """
    row = BY_NAME.get(name)
    if row is None:
        raise EncodeError(f"unknown instruction '{name}'; known: {', '.join(BY_NAME)}")
    values = row.defaults | values
    names = {field.name for field in row.body}
    if names != set(values):
        raise EncodeError(f"{name}: missing {sorted(names - set(values))}, unknown {sorted(set(values) - names)}")
    for field in row.body:
        _check(name, field, values[field.name], field.low, field.high)
    return Instruction(row, {field.name: values[field.name] for field in row.body}, source=source)


def encode(instructions: Iterable[Instruction]) -> bytes:
    """The instructions' bit strings, one after the other; of all that `decode` returns, outside its limits or not.

    Raises EncodeError for a value that the field's bits do not hold.
    """
    return b"".join(_encode_one(instruction) for instruction in instructions)


def decode(code: bytes) -> list[Instruction]:
    """The inverse of `encode`; raises DecodeError with the offset of what is no instruction."""
    instructions, offset = [], 0
    while offset < len(code):
        row = BY_OPCODE.get(code[offset])
        if row is None:
            raise DecodeError(f"offset {offset}: unknown opcode 0x{code[offset]:02x}")
        if offset + row.size > len(code):
            raise DecodeError(f"offset {offset}: {row.name} takes {row.size} bytes, {len(code) - offset} are left")
        instructions.append(_decode_one(row, code[offset : offset + row.size], offset))
        offset += row.size
    return instructions


def _encode_one(instruction: Instruction) -> bytes:
    row = instruction.format
    header = {
        "opcode": row.opcode,
        "wait": instruction.wait,
        "signal": instruction.signal,
        "flags": 0,
        "source": instruction.source,
    }
    values = header | instruction.values
    word, shift = 0, 0
    for field in row.fields:
        value = values[field.name]
        _check(row.name, field, value, field.lowest, field.highest)
        word |= (value & ((1 << field.bits) - 1)) << shift
        shift += field.bits
    return word.to_bytes(row.size, "little")


def _decode_one(row: InstructionFormat, code: bytes, offset: int) -> Instruction:
    word = int.from_bytes(code, "little")
    values: dict[str, int] = {}
    for field in row.fields:
        raw = word & ((1 << field.bits) - 1)
        values[field.name] = raw - (1 << field.bits) if field.signed and raw >> (field.bits - 1) else raw
        word >>= field.bits
    if word or values["flags"]:
        raise DecodeError(f"offset {offset}: {row.name} has bits set that are zero by definition")
    header = {field.name: values.pop(field.name) for field in HEADER}
    return Instruction(row, values, header["wait"], header["signal"], header["source"])


def _check(instruction: str, field: Field, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise EncodeError(f"{instruction}: {field.name} = {value} is outside {low}..{high}")


def _engine_set(bits: int) -> str:
    return ",".join(engine.name.lower() for engine in Engine if bits >> engine & 1)


def _number(field: Field, value: int) -> str:
    return f"0x{value:x}" if field.name.endswith("_addr") else str(value)
