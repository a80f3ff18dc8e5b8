"""Images through one program on the simulator: `re2na run`."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvm_re2na.batches import Batch, arrays_of
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataSource
from tvm_re2na.dataset import LabelArray
from tvm_re2na.identity import identity
from tvm_re2na.parallel.cuts import Cuts, cut, most_waiting
from tvm_re2na.parallel.journal import open_journal
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.parallel.shards import Job, run_all_shards
from tvm_re2na.parallel.worker_pool import WorkerPool, open_worker_pool
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.program_inputs import read_inputs
from tvm_re2na.progress import Progress, silent
from tvm_re2na.runtime.library import load_as_set
from tvm_re2na.runtime.many import processors, run_many
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.tally import count_hits

MOST_IMAGES = 4096  # of a shard: the simulator takes less than a millisecond for many a network


@dataclass(frozen=True)
class Simulation:
    """`figures`: the contract of docs/json.md. `outputs`: int8, of all images, by their names."""

    figures: dict[str, Any]
    outputs: dict[str, Int8Array]

    def to_npz(self) -> bytes:
        """The outputs as a file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.outputs)  # type: ignore[arg-type]  # numpy's stub takes names for its own option
        return buffer.getvalue()


def simulate(
    program: Program | str | os.PathLike[str],
    data: DataSource,
    limit: int | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    jobs: int = 1,
    shard: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Simulation:
    """Run all images of a Dataset, a file or folder, or a map-style dataset, which `preprocessing` is for (`load_dataset`). Cycles,
    MACs and bytes are for one run of the program.

    Runs go side by side in `threads` threads (default: all processors, shared among the jobs; one on an executor), on `executor` or
    in `jobs` processes, `shard` images at a time, as in `compare`; what is finished is noted in the file `resume`.
    Raises ProgramError, DataError, PreprocessingError, SimulatorError, JournalError or WorkersLostError.
    """
    program = program if isinstance(program, Program) else Program.open(program)
    images, labels = read_inputs(program, data, limit, preprocessing)
    whole = executor is None and jobs == 1 and shard is None and resume is None
    batch = program.inputs[0].shape[0]
    cuts = Cuts(len(images), len(images)) if whole else cut(len(images), images[0].nbytes, batch, shard, MOST_IMAGES)

    def run() -> dict[str, object]:
        content = {"program": program.to_bytes(), "data": images.tobytes()}
        return identity("run", **content, images=len(images), shard=cuts.size)

    if threads is None:
        threads = 1 if executor is not None else max(1, processors() // jobs)
    with open_worker_pool(executor, jobs) as pool, open_journal(resume, run, len(cuts)) as journal:
        job = _job(pool, program, images, cuts, threads, progress if whole else silent)
        parts = run_all_shards(pool, job, functools.partial(progress, "run"), journal)
    outputs = _joined(program, cuts, [part["outputs"] for part in parts])
    figures = _figures(program, parts[0], outputs, labels)
    return Simulation(figures | {"overflows": sum(part["overflows"] for part in parts)}, outputs)


def _job(pool: WorkerPool, program: Program, images: Batch, cuts: Cuts, threads: int, progress: Progress) -> Job:
    handle = pool.ship(program.to_bytes())

    def arguments(index: int) -> tuple[Any, ...]:
        start, stop = cuts.span(index)
        common = handle, images[start:stop], program.inputs[0].shape[0], threads
        return (*common, progress) if pool.here else common

    return Job(simulate_shard, arguments, cuts.sizes(), cuts.name, most_waiting(cuts, images[0].nbytes))


def simulate_shard(
    handle: Handle, images: Batch, batch: int, threads: int, progress: Progress = silent
) -> dict[str, Any]:
    """Some images: the bytes of every output, how many accumulators overflowed, and what any one run takes."""
    loaded = handle.open(load_as_set)
    outputs: list[list[Int8Array]] = [[] for _ in loaded.outputs]
    overflows = 0
    for index, result in enumerate(run_many(loaded, batches_of(images, batch), threads)):
        overflows += result.counters.total.overflows
        for kept, array in zip(outputs, result.outputs, strict=True):
            kept.append(array[: len(images) - index * batch])
        progress("run", min((index + 1) * batch, len(images)), len(images))
    total = result.counters.total
    one_run = {"cycles": loaded.timing.cycles, "macs": total.macs, "dram_bytes": total.dram_bytes}
    return one_run | {"overflows": overflows, "outputs": [np.concatenate(kept).tobytes() for kept in outputs]}


def _joined(program: Program, cuts: Cuts, parts: list[list[bytes]]) -> dict[str, Int8Array]:
    """All images of every output."""
    found = {}
    for index, tensor in enumerate(program.outputs):
        content = b"".join(part[index] for part in parts)
        found[tensor.name] = np.frombuffer(content, np.int8).reshape(cuts.images, *tensor.shape[1:])
    return found


def batches_of(images: Batch, batch: int) -> Iterator[list[Int8Array]]:
    """The inputs of every run; the last image is repeated where the last batch is not full."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        if len(part) < batch:
            part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        yield arrays_of(part)


def _figures(
    program: Program, part: dict[str, Any], outputs: dict[str, Int8Array], labels: LabelArray | None
) -> dict[str, Any]:
    """Of one run, which every part tells alike, and of all images."""
    cycles, first = part["cycles"], next(iter(outputs.values()))
    peak = cycles * program.arch.peak_macs_per_cycle
    return {
        "images": len(first),
        "batch": program.inputs[0].shape[0],
        "top1": _top1(first, labels),
        "cycles": cycles,
        "milliseconds": cycles / (program.arch.clock_mhz * 1e3),
        "macs": part["macs"],
        "utilisation": part["macs"] / peak if peak else 0.0,
        "dram_bytes": part["dram_bytes"],
        "outputs": [{"name": name, "shape": list(array.shape)} for name, array in outputs.items()],
    }


def _top1(scores: Int8Array, labels: LabelArray | None) -> float | None:
    known = 0 if labels is None else int((labels >= 0).sum())
    if labels is None or not known or scores.ndim != 2 or labels.max() >= scores.shape[1]:
        return None
    return float(count_hits(scores, labels)[0] / known)
