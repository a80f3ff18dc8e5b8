"""`re2na vectors`: one run of a program on the reference simulator, with the machine's state around chosen instructions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.files import whole_folder, write_atomically
from tvm_re2na.codegen.isa import encode
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataSource
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.program_inputs import read_inputs
from tvm_re2na.progress import Progress, silent
from tvm_re2na.runtime import hazards, reference
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.simulation import batches_of
from tvm_re2na.vectors.choice import ChoiceError, choose
from tvm_re2na.vectors.describe import WORD, describe, touches
from tvm_re2na.vectors.hexfile import words_text
from tvm_re2na.vectors.states import HexFolder

MANIFEST, DIGESTS = "vectors.json", "SHA256SUMS"


def write_vectors(
    program: Program | str | os.PathLike[str],
    data: DataSource,
    folder: str | os.PathLike[str],
    *,
    layers: Sequence[str] = (),
    instructions: Iterable[range] = (),
    image: int = 0,
    preprocessing: Preprocessing | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write `folder`, which must not be there or be empty, as docs/vectors.md describes it, and return what `vectors.json` says.

    States are those around all instructions of `layers` and those whose numbers are in `instructions`. The run is that of the image
    of number `image`, and those behind it where the program takes a batch; data and `preprocessing` are as of `simulate`.
    Raises ProgramError, DataError, PreprocessingError, ChoiceError, SimulatorError, SimulationError, HazardError or OSError.
    """
    program = program if isinstance(program, Program) else Program.open(program)
    chosen = choose(program, layers, instructions)
    inputs = _inputs(program, data, image, preprocessing)
    found = describe(program, LoadedProgram(program).timing) | {"image": image}
    hazards.check(program)
    with whole_folder(folder) as there:
        files = HexFolder(there)
        found["instruction_stream"] = _add_stream(program, files)
        found |= _record(program, inputs, set(chosen), files, progress)
        found["files"] = files.to_json()
        _finish(there, found)
    return found


def _inputs(program: Program, data: DataSource, image: int, preprocessing: Preprocessing | None) -> Sequence[Int8Array]:
    batch = program.inputs[0].shape[0]
    images, _ = read_inputs(program, data, image + batch, preprocessing)
    if image >= len(images):
        raise ChoiceError(f"image {image}: the data has images 0 to {len(images) - 1}")
    return next(batches_of(images[image:], batch))


def _add_stream(program: Program, files: HexFolder) -> str:
    code = encode(program.instructions)
    words = [int.from_bytes(code[at : at + WORD // 8], "little") for at in range(0, len(code), WORD // 8)]
    return files.add("instructions.hex", "instructions", WORD, len(words), words_text(words, WORD))


def _record(
    program: Program, inputs: Sequence[Int8Array], chosen: set[int], files: HexFolder, progress: Progress
) -> dict[str, Any]:
    """The run: the DRAM before and after it, and the states around the `chosen` instructions."""
    machine = reference.power_on(program, inputs)
    image = files.add_memory("dram_image.hex", "dram", machine.dram)
    steps: list[dict[str, Any]] = []
    state = None  # before the next instruction, if somebody asked for it
    for index, at in enumerate(program.instructions):
        if index in chosen:
            state = state or files.add_state(machine, index)
        counter = reference.step(machine, index, at)
        if index in chosen:
            before, state = state, files.add_state(machine, index + 1)
            counted = {"macs": counter.macs, "overflows": counter.overflows}
            steps.append({"instruction": index, "before": before, "after": state, **counted, "touches": [*touches(at)]})
        else:
            state = None
        progress("vectors", index + 1, len(program.instructions))
    result = files.add_memory("dram_result.hex", "dram", machine.dram)
    return {"dram_image": image, "dram_result": result, "steps": steps}


def _finish(folder: Path, found: dict[str, Any]) -> None:
    """`vectors.json`, and the digests of all files as `sha256sum -c` reads them."""
    manifest = json.dumps(found, indent=1).encode()
    write_atomically(folder / MANIFEST, manifest)
    digests = {name: file["sha256"] for name, file in found["files"].items()}
    digests[MANIFEST] = hashlib.sha256(manifest).hexdigest()
    write_atomically(folder / DIGESTS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode())
