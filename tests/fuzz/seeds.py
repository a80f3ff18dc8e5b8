"""Writes the seed corpus: small programs of each instruction and of several. `python -m tests.fuzz.seeds FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.runtime.programs import SIMPLE, random_program


def main(folder: Path, each: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(each):
        for name in SIMPLE:
            program = random_program(seed, (name,), 2, sram_bytes=1024)
            (folder / f"{name.lower()}{seed}.re2na").write_bytes(program.to_bytes())
        (folder / f"several{seed}.re2na").write_bytes(random_program(seed, length=6, sram_bytes=2048).to_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
