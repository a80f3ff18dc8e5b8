"""A reader of vectors, written from docs/vectors.md alone: it refuses what the page does not say. Nothing of it is the writer's."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FIXED = ("vectors.json", "SHA256SUMS")
NAMES = r"dram_image|dram_result|instructions|(sram|dram|sums)/\d+"


class BadVectorsError(Exception):
    """The folder is not what docs/vectors.md says."""


def need(holds: bool, told: str) -> None:
    if not holds:
        raise BadVectorsError(told)


class Folder:
    """`found`: vectors.json. Raises BadVectorsError where files, digests, widths or addresses do not agree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._check_digests()
        self.found: dict[str, Any] = json.loads((path / "vectors.json").read_text())
        need(self.found["format"] == 1, "another format")
        there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
        need(there == {*FIXED, *self.found["files"]}, "files that nobody names, or names without a file")
        self.words = {name: self._words(name, file) for name, file in self.found["files"].items()}

    def _check_digests(self) -> None:
        named = dict(reversed(line.split("  ")) for line in (self.path / "SHA256SUMS").read_text().splitlines())
        files = {str(file.relative_to(self.path)) for file in self.path.rglob("*") if file.is_file()}
        need(files == {"SHA256SUMS", *named}, "SHA256SUMS does not name every file")
        for name, digest in named.items():
            need(hashlib.sha256((self.path / name).read_bytes()).hexdigest() == digest, f"{name}: another digest")

    def _words(self, name: str, file: dict[str, Any]) -> dict[int, int]:
        """Words by address, within the memory and the width."""
        need(re.fullmatch(rf"({NAMES})\.hex", name) is not None, f"{name}: no name of ours")
        memory = self.found["memories"][file["memory"]]
        text = (self.path / name).read_text()
        need(hashlib.sha256(text.encode()).hexdigest() == file["sha256"], f"{name}: another digest than in the JSON")
        found: dict[int, int] = {}
        address = 0
        for token in re.sub("//.*", "", text).split():
            if token[0] == "@":
                address = int(token[1:], 16)
                continue
            need(address not in found, f"{name}: address {address} twice")
            found[address] = int(token, 16)
            address += 1
        need(file["width"] == memory["width"], f"{name}: width {file['width']}")
        need(len(found) == file["words"], f"{name}: {len(found)} words")
        need(all(0 <= word < 1 << file["width"] for word in found.values()), f"{name}: a word is too wide")
        need(not found or max(found) < memory["words"], f"{name}: behind the end of the memory")
        return found

    def memory(self, name: str) -> npt.NDArray[np.int64]:
        """Signed bytes by address; -1000 where nothing was written."""
        whole = np.full(self.found["memories"][self.found["files"][name]["memory"]]["words"], -1000)
        for address, word in self.words[name].items():
            whole[address] = word - 256 if word > 127 else word
        return whole

    def tensor(self, name: str, tensor: dict[str, Any]) -> npt.NDArray[np.int64]:
        """An input or output in the caller's shape."""
        n, c, h, w = tensor["stored"]
        flat = self.memory(name)[tensor["address"] :][: n * c * h * w]
        return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(tensor["shape"])

    def fields(self, index: int) -> dict[str, int]:
        """Of an instruction, decoded from the words of the stream by the columns `bits` of docs/isa.md."""
        at = self.found["instructions"][index]
        words = self.words[self.found["instruction_stream"]]
        bits = sum(words[at["word"] + i] << 64 * i for i in range(at["words"]))
        return {name: bits >> first & ((1 << count) - 1) for name, (first, count) in layout(at["name"]).items()}


def layout(instruction: str) -> dict[str, tuple[int, int]]:
    """First bit and number of bits of each field, from the page."""
    page = (Path(__file__).parents[2] / "docs" / "isa.md").read_text()
    body = re.search(rf"^## {instruction}\n(.*?)(^## |\Z)", page, re.M | re.S)
    head = page.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+)(?:\.\.(\d+))? \|", head + (body[1] if body else ""), re.M)
    return {name: (int(first), int(last or first) - int(first) + 1) for name, first, last in rows}
