"""Reads a folder that `re2na vectors` wrote, as docs/vectors.md describes it. Needs nothing but Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


def read_hex(path: Path) -> dict[int, int]:
    """Words by their addresses; what was never written has none."""
    words, address = {}, 0
    for line in path.read_text().splitlines():
        for token in line.partition("//")[0].split():
            if token.startswith("@"):
                address = int(token[1:], 16)
            else:
                words[address] = int(token, 16)
                address += 1
    return words


@dataclass(frozen=True)
class Step:
    """An instruction with the machine's state before and after it."""

    folder: Path
    instruction: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]

    def __getitem__(self, field: str) -> int:
        return int(self.instruction["fields"][field])

    @property
    def index(self) -> int:
        return int(self.instruction["index"])

    def path(self, when: str, memory: str) -> Path:
        return Path(self.folder, getattr(self, when)[memory])

    @cached_property
    def sram(self) -> dict[int, int]:
        """Before it."""
        return read_hex(self.path("before", "sram"))

    @cached_property
    def sram_after(self) -> dict[int, int]:
        return read_hex(self.path("after", "sram"))


@dataclass(frozen=True)
class Vectors:
    """A folder of vectors: the machine's numbers, and the steps that have states."""

    folder: Path
    machine: dict[str, Any]
    steps: list[Step]

    @classmethod
    def open(cls, folder: Path) -> Vectors:
        found = json.loads((folder / "vectors.json").read_text())
        if found["format"] != 1:
            raise ValueError(f"{folder}: format {found['format']}, this reader knows 1")
        instructions = found["instructions"]
        steps = [
            Step(folder, instructions[step["instruction"]], step["before"], step["after"]) for step in found["steps"]
        ]
        return cls(folder, found["machine"], steps)
