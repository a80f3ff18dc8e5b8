"""`re2na run`: images through one program on the simulator."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataError, Dataset, LabelArray, load_dataset
from tvm_re2na.evaluate import count_hits
from tvm_re2na.pipeline import Progress
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.many import run_many

Int8Array = npt.NDArray[np.int8]


def simulate(
    program: Program, path: Path, limit: int | None, output: Path | None, threads: int | None, progress: Progress
) -> dict[str, Any]:
    """Run all images, and write the int8 outputs if asked. Cycles, MACs and bytes are for one run of the program.

    Runs go side by side in `threads` threads; None: one for each processor.
    """
    if len(program.inputs) != 1:
        raise DataError(f"{path}: the program has {len(program.inputs)} inputs, `run` feeds programs with one")
    batch = program.inputs[0].shape[0]
    images, labels = read_inputs(program, path, limit)
    loaded = LoadedProgram(program)
    outputs: list[list[Int8Array]] = [[] for _ in program.outputs]
    overflows = 0
    for index, result in enumerate(run_many(loaded, _batches(images, batch), threads)):
        progress("run", index * batch, len(images))
        overflows += result.counters.total.overflows
        for kept, array in zip(outputs, result.outputs, strict=True):
            kept.append(array[: len(images) - index * batch])
    progress("run", len(images), len(images))
    arrays = {tensor.name: np.concatenate(kept) for tensor, kept in zip(program.outputs, outputs, strict=True)}
    if output is not None:
        write_atomically(output, _npz(arrays))
    total, cycles = result.counters.total, loaded.timing.cycles
    peak = cycles * program.arch.peak_macs_per_cycle
    return {
        "images": len(images),
        "batch": batch,
        "top1": _top1(next(iter(arrays.values())), labels),
        "overflows": overflows,
        "cycles": cycles,
        "milliseconds": cycles / (program.arch.clock_mhz * 1e3),
        "macs": total.macs,
        "utilisation": total.macs / peak if peak else 0.0,
        "dram_bytes": total.dram_bytes,
        "outputs": [{"name": name, "shape": list(array.shape)} for name, array in arrays.items()],
    }


def _batches(images: Int8Array, batch: int) -> Iterator[list[Int8Array]]:
    """The inputs of every run; the last image is repeated where the last batch is not full."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        yield [np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])]


def read_inputs(program: Program, path: Path, limit: int | None) -> tuple[Int8Array, LabelArray | None]:
    """int8 images for the program, and their labels. Raises DataError where they do not suit it."""
    raw = _raw(path)
    if raw is not None:
        images, labels = raw[:limit], None
    else:
        dataset = load_dataset(path, limit, program.inputs[0].shape[-1])
        images, labels = _quantise(program, dataset), dataset.y
    if len(images) < 1 or images.shape[1:] != program.inputs[0].shape[1:]:
        raise DataError(f"{path}: x is {images.shape}, the program takes images of {program.inputs[0].shape[1:]}")
    return images, labels


def _raw(path: Path) -> Int8Array | None:
    """x, if it is int8 already."""
    if path.suffix != ".npz" or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            x = archive["x"] if "x" in archive.files else None
    except Exception:  # load_dataset reads the file again and says what is wrong with it
        return None
    return x if x is not None and x.dtype == np.int8 else None


def _quantise(program: Program, dataset: Dataset) -> Int8Array:
    scale = program.meta.get("input_scale")
    if scale is None:
        raise DataError(f"{dataset.source}: the program does not tell the scale of its input: give x as int8")
    parts = [quantise(dataset.read(index, index + 1), scale) for index in range(len(dataset))]
    return np.concatenate(parts)


def quantise(x: npt.NDArray[np.float32], scale: float) -> Int8Array:
    """As TVM's qnn.quantize: divide, round halves away from zero, saturate."""
    scaled = x / np.float32(scale)
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    clipped: Int8Array = np.clip(rounded, -128, 127).astype(np.int8)
    return clipped


def _top1(scores: Int8Array, labels: LabelArray | None) -> float | None:
    known = 0 if labels is None else int((labels >= 0).sum())
    if labels is None or not known or scores.ndim != 2 or labels.max() >= scores.shape[1]:
        return None
    return float(count_hits(scores, labels)[0] / known)


def _npz(arrays: dict[str, Int8Array]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes names for its own option
    return buffer.getvalue()
