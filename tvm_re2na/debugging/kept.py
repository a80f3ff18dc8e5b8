"""All sides' tensors, one file for each operator."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np

from tvm_re2na.codegen.files import naming, write_atomically
from tvm_re2na.debugging.operators import BatchSides
from tvm_re2na.opinion.sections import Numbers, Section

LONGEST = 80  # characters of an operator's name in a file's


class Dump:
    """Keeps what is added, and writes it into a folder at the end: `003.conv1.npz` with arrays of all images.

    `float`: the reference's values in the quantised network's scale; `onnx_runtime`, `tvm`, `re2na`: integers, or floats where the
    result has none; `scale` and `zero_point`. What a side does not have is not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._kept: dict[str, dict[str, list[Numbers]]] = {}

    def add(self, section: Section, batch: BatchSides) -> None:
        kept = self._kept.setdefault(section.tensor, {})
        sides = {"float": batch.wanted, "onnx_runtime": batch.onnx_runtime, "tvm": batch.tvm or {}}
        for side, values in sides.items():
            if section.tensor in values:
                kept.setdefault(side, []).append(values[section.tensor][: batch.count])
        if batch.machine is not None and section.tensor in batch.machine.tensors:
            seen = batch.machine.tensors[section.tensor].integers
            kept.setdefault("re2na", []).append(seen[: batch.count])

    def write(self, sections: tuple[Section, ...]) -> list[Path]:
        """The files, in the operators' order."""
        written = []
        for number, section in enumerate(sections):
            arrays = {side: np.concatenate(parts) for side, parts in self._kept.get(section.tensor, {}).items()}
            if section.quantiser is not None:
                arrays |= {"scale": section.quantiser.scale, "zero_point": section.quantiser.zero_point}
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes names for its own option
            path = self.folder / f"{number:03}.{_plain(section)}.npz"
            write_atomically(path, buffer.getvalue())
            written.append(path)
        return written


def _plain(section: Section) -> str:
    name = section.nodes[0].name if section.nodes else section.tensor
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.")[-LONGEST:]
