"""The machine's state between two instructions, each memory in a file of its own."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.runtime.instructions.machine import Machine, Memory
from tvm_re2na.vectors.hexfile import bytes_text, words_text


@dataclass(frozen=True)
class HexFile:
    """What stands in a file: words of `width` bits of a `memory`, how many of them, and the file's digest."""

    memory: str
    width: int
    words: int
    sha256: str


@dataclass
class HexFolder:
    """Files in a folder, by their names. A content that is there already is not written again."""

    folder: Path
    files: dict[str, HexFile] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)  # by memory and digest

    def add(self, name: str, memory: str, width: int, words: int, text: bytes) -> str:
        """The name of the file that holds the text."""
        digest = hashlib.sha256(text).hexdigest()
        there = self._names.setdefault((memory, digest), name)
        if there == name:
            (self.folder / name).parent.mkdir(exist_ok=True)
            write_atomically(self.folder / name, text)
            self.files[name] = HexFile(memory, width, words, digest)
        return there

    def add_memory(self, name: str, kind: str, memory: Memory) -> str:
        return self.add(name, kind, 8, int(memory.written.sum()), bytes_text(memory.bytes, memory.written))

    def add_state(self, machine: Machine, index: int) -> dict[str, Any]:
        """Before instruction `index`: names of files, and how the array is connected."""
        sums, bits = machine.sums, machine.arch.acc_bits
        return {
            "sram": self.add_memory(f"sram/{index}.hex", "sram", machine.sram),
            "dram": self.add_memory(f"dram/{index}.hex", "dram", machine.dram),
            "sums": None
            if sums is None
            else self.add(f"sums/{index}.hex", "sums", bits, sums.size, words_text(sums.reshape(-1).tolist(), bits)),
            "mode": None if machine.mode is None else machine.mode.name.lower(),
            "rows": machine.rows,
        }

    def to_json(self) -> dict[str, dict[str, Any]]:
        return {name: asdict(file) for name, file in self.files.items()}
