"""The `.re2na` container: header, section table, sections; little-endian, guarded by a CRC-32.

    header   8 bytes "RE2NAPRG" | u32 version | u32 sections | u64 file bytes | u32 CRC-32 of all bytes after the header | u32 0
    table    per section: u32 kind | u32 0 | u64 offset | u64 bytes (offsets are multiples of 64)
    ARCH     i64 per field of the architecture, in declaration order
    MEMORY   u64 DRAM bytes | u64 constants' DRAM address
    TENSORS  u32 count, then per tensor: u32 kind (0 input, 1 output) | u32 rank (2 or 4) | u32 x 4 shape in N, C, H, W order
             (1 where the rank ends) | u32 x 4 stored shape N, C, H, W | u64 DRAM address | u32 name bytes | name, padded to 4
    CODE     the instruction stream
    CONST    the bytes that lie in DRAM at the constants' address before the program starts
    SOURCES  UTF-8 JSON: list of {"name", "op", "macs"}; an instruction's `source` is an index into it
    META     UTF-8 JSON: whatever the compiler wants the reader to know; the simulator ignores it

A tensor's `shape` is the caller's, row-major (N, C, H, W) or (N, C). In DRAM it lies as (N, H, W, C) of the `stored` shape,
whose elements are the same in (N, C, H, W) order: that is how a flatten on the program's border costs nothing.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arch_fields import ArchitectureError
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import naming, write_atomically
from tvm_re2na.codegen.graph.ops import Shape
from tvm_re2na.codegen.isa import DecodeError, Instruction, decode, encode

MAGIC = b"RE2NAPRG"
VERSION = 2
HEADER = struct.Struct("<8sIIQII")
ENTRY = struct.Struct("<IIQQ")
ALIGNMENT = 64
SECTIONS = {"ARCH": 1, "MEMORY": 2, "TENSORS": 3, "CODE": 4, "CONST": 5, "SOURCES": 6, "META": 7}
LARGEST_SCALE = 2.0**127  # a float32 number
_MEMORY = struct.Struct("<QQ")
_TENSOR = struct.Struct("<II4I4IQI")


class ProgramError(Re2naError, ValueError):
    """The bytes are no program; the message names what is wrong and where."""


@dataclass(frozen=True)
class ProgramTensor:
    """An input or output: `shape` as the caller sees it, `stored` as (N, C, H, W), `address` in DRAM."""

    name: str
    shape: Shape
    stored: Shape
    address: int


@dataclass(frozen=True)
class SourceOperator:
    """An operator of the source graph, with its multiply-accumulates for one run of the program."""

    name: str
    op: str
    macs: int


@dataclass(frozen=True)
class Program:
    """Everything the machine needs for one network."""

    arch: Architecture
    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    instructions: tuple[Instruction, ...]
    constants: bytes
    constants_address: int
    dram_bytes: int
    sources: tuple[SourceOperator, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    compile_seconds: float | None = field(default=None, compare=False)  # of this very build; no part of the file

    def to_bytes(self) -> bytes:
        return bytes(self.packed())

    def packed(self) -> bytearray:
        """What `to_bytes` gives, without another copy: constants can be large."""
        sections = {
            "ARCH": struct.pack(f"<{len(self.arch.as_words())}q", *self.arch.as_words()),
            "MEMORY": _MEMORY.pack(self.dram_bytes, self.constants_address),
            "TENSORS": _pack_tensors(self.inputs, self.outputs),
            "CODE": encode(self.instructions),
            "CONST": self.constants,
            "SOURCES": _json([vars(source) for source in self.sources]),
            "META": _json(self.meta),
        }
        return _pack_sections(sections)

    @classmethod
    def from_bytes(cls, data: bytes) -> Program:
        """Raises ProgramError for anything that `to_bytes` has not written."""
        sections = _unpack_sections(data)
        try:
            words = struct.unpack(f"<{len(sections['ARCH']) // 8}q", sections["ARCH"])
            dram_bytes, constants_address = _MEMORY.unpack(sections["MEMORY"])
            inputs, outputs = _unpack_tensors(sections["TENSORS"])
            return cls(
                Architecture.from_words(list(words)),
                inputs,
                outputs,
                tuple(decode(sections["CODE"])),
                sections["CONST"],
                constants_address,
                dram_bytes,
                tuple(map(_source, json.loads(sections["SOURCES"]))),
                _meta(json.loads(sections["META"])),
            )
        except (
            struct.error,
            ArchitectureError,
            DecodeError,
            ValueError,  # of text and of JSON
            RecursionError,  # of JSON in a thousand brackets
            TypeError,
        ) as error:
            raise ProgramError(f"program: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write atomically: the file is there whole or not at all."""
        write_atomically(path, self.packed())

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Program:
        try:
            with naming(path):
                content = Path(path).read_bytes()
            return cls.from_bytes(content)
        except ProgramError as error:
            raise ProgramError(f"{path}: {error}") from error


def _source(value: Any) -> SourceOperator:
    source = SourceOperator(**value)
    if not (
        isinstance(source.name, str) and isinstance(source.op, str) and type(source.macs) is int and source.macs >= 0
    ):
        raise ProgramError(f"source {value!r:.80}: expected a name, an operator and a number of MACs")
    return source


def _meta(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProgramError(f"its notes are {value!r:.80}, expected names and values")
    for name in ("input_scale", "output_scale"):
        scale = value.get(name, 1.0)
        if not (type(scale) in (int, float) and 0 < scale <= LARGEST_SCALE):
            raise ProgramError(f"{name} = {scale!r:.80}, expected a number above 0, at most {LARGEST_SCALE:g}")
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _pack_sections(sections: dict[str, bytes]) -> bytearray:
    offset = _align(HEADER.size + ENTRY.size * len(sections))
    data = bytearray(offset + sum(_align(len(content)) for content in sections.values()))
    for index, (name, content) in enumerate(sections.items()):
        ENTRY.pack_into(data, HEADER.size + index * ENTRY.size, SECTIONS[name], 0, offset, len(content))
        data[offset : offset + len(content)] = content
        offset += _align(len(content))
    crc = zlib.crc32(memoryview(data)[HEADER.size :])
    HEADER.pack_into(data, 0, MAGIC, VERSION, len(sections), len(data), crc, 0)
    return data


def _unpack_sections(data: bytes) -> dict[str, bytes]:
    if len(data) < HEADER.size or data[:8] != MAGIC:
        raise ProgramError("no Re2Na program: it does not start with RE2NAPRG")
    _, version, count, size, crc, _ = HEADER.unpack_from(data)
    if version != VERSION:
        raise ProgramError(f"format version {version}, this release reads {VERSION}")
    if size != len(data):
        raise ProgramError(f"truncated or extended: {len(data)} bytes, the header says {size}")
    if zlib.crc32(memoryview(data)[HEADER.size :]) != crc:
        raise ProgramError("damaged: the checksum does not match")
    if HEADER.size + count * ENTRY.size > size:
        raise ProgramError(f"section table of {count} entries does not fit {size} bytes")
    names = {kind: name for name, kind in SECTIONS.items()}
    sections = {}
    for index in range(count):
        kind, _, offset, length = ENTRY.unpack_from(data, HEADER.size + index * ENTRY.size)
        if kind not in names or offset + length > size:
            raise ProgramError(f"section {index}: kind {kind}, bytes {offset}..{offset + length} of {size}")
        sections[names[kind]] = data[offset : offset + length]
    missing = SECTIONS.keys() - sections.keys()
    if missing:
        raise ProgramError(f"sections are missing: {', '.join(sorted(missing))}")
    return sections


def _pack_tensors(inputs: tuple[ProgramTensor, ...], outputs: tuple[ProgramTensor, ...]) -> bytes:
    parts = [struct.pack("<I", len(inputs) + len(outputs))]
    for kind, tensors in enumerate((inputs, outputs)):
        for tensor in tensors:
            name = tensor.name.encode()
            shape = (*tensor.shape, 1, 1)[:4]
            parts.append(_TENSOR.pack(kind, len(tensor.shape), *shape, *tensor.stored, tensor.address, len(name)))
            parts.append(name.ljust(-(-len(name) // 4) * 4, b"\0"))
    return b"".join(parts)


def _unpack_tensors(data: bytes) -> tuple[tuple[ProgramTensor, ...], tuple[ProgramTensor, ...]]:
    (count,) = struct.unpack_from("<I", data)
    tensors: tuple[list[ProgramTensor], list[ProgramTensor]] = ([], [])
    offset = 4
    for _ in range(count):
        kind, rank, *rest = _TENSOR.unpack_from(data, offset)
        address, length = rest[8], rest[9]
        offset += _TENSOR.size
        name = data[offset : offset + length].decode()
        offset += -(-length // 4) * 4
        if kind > 1 or rank not in (2, 4) or offset > len(data):
            raise ProgramError(f"tensor '{name}': kind {kind}, rank {rank}, table ends at {len(data)}")
        tensors[kind].append(ProgramTensor(name, tuple(rest[:rank]), tuple(rest[4:8]), address))
    return tuple(tensors[0]), tuple(tensors[1])


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
