"""Shards of images through one network's runners (float, ONNX Runtime, CPU, Re²Na), in this process or in others."""

from __future__ import annotations

import dataclasses
import functools
import operator
import threading
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_re2na import frontends
from tvm_re2na.artefacts import Artefact, artefacts, open_library
from tvm_re2na.batches import Batch
from tvm_re2na.cache.keys import processor
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.dataset import Dataset, LabelArray
from tvm_re2na.float_runner import BatchRunner, float_runner, precise_runner
from tvm_re2na.identity import versions
from tvm_re2na.model_file import scores_of
from tvm_re2na.npz import DataError
from tvm_re2na.parallel.cuts import Cuts, most_waiting
from tvm_re2na.parallel.journal import Journal
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.parallel.shards import Job, VersionError, run_all_shards
from tvm_re2na.parallel.worker_pool import WorkerPool
from tvm_re2na.progress import Progress
from tvm_re2na.runtime import library
from tvm_re2na.tally import Tally


@dataclass(frozen=True)
class Runners:
    """Functions that run one batch of images, and which of their outputs tells the classes apart. `onnx_runtime` is None where the
    given model, the reference, is quantised itself."""

    reference: BatchRunner
    onnx_runtime: BatchRunner | None
    cpu: BatchRunner
    re2na: BatchRunner
    scores: int = 0


@dataclass(frozen=True)
class PackedRunners:
    """The same for other processes: models, and what was built of them for `processor`; empty if it cannot be saved."""

    model: bytes
    quantized: bytes
    arch: Architecture
    batch: int
    cpu: bytes
    re2na: bytes
    processor: str
    versions: str
    threads: int | None


def pack_runners(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    built: tuple[Artefact, Artefact],
    arch: Architecture,
    batch: int,
    threads: int | None,
) -> PackedRunners:
    """`built`: for the CPU, and for Re²Na."""
    cpu, re2na = map(_library, built)
    models = model.SerializeToString(), quantized.SerializeToString()
    return PackedRunners(*models, arch, batch, cpu, re2na, processor(), versions(), threads)


def runners_for(
    pool: WorkerPool,
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    built: tuple[Artefact, Artefact],
    arch: Architecture,
    batch: int,
    threads: int | None,
) -> Runners | Handle:
    """Opened where the pool is this process, otherwise on their way to its workers; `built` as of `pack_runners`."""
    if not pool.here:
        return pool.ship(pack_runners(model, quantized, built, arch, batch, threads))
    start_simulator(threads)
    cpu, re2na = built
    return Runners(*onnx_runners(model, quantized), cpu.executor(), re2na.executor(), scores_of(model))


def start_simulator(threads: int | None) -> None:
    """Forget programs of former jobs. Raises SimulatorError for a number of threads outside 1..256."""
    library.bridge_reset()
    if threads is not None:
        library.bridge_set_threads(threads)


def onnx_runners(model: onnx.ModelProto, quantized: onnx.ModelProto) -> tuple[BatchRunner, BatchRunner | None]:
    """The given model in ONNX Runtime, and the quantised one if that is another."""
    return float_runner(model), None if model is quantized else precise_runner(quantized)


def open_runners(packed: PackedRunners) -> Runners:
    """What was built, where this machine can run it; otherwise built here. Raises VersionError where TVM or we are another."""
    if packed.versions != versions():
        raise VersionError(f"a worker has {versions()}; the work comes from {packed.versions}")
    start_simulator(packed.threads)
    model = onnx.load_from_string(packed.model)
    quantized = model if packed.quantized == packed.model else onnx.load_from_string(packed.quantized)
    references, scores = onnx_runners(model, quantized), scores_of(model)
    if packed.cpu and packed.re2na and packed.processor == processor():
        return Runners(*references, open_library(packed.cpu), open_library(packed.re2na), scores)
    cpu, re2na = artefacts(quantized, packed.arch, packed.batch)
    return Runners(*references, cpu.executor(), re2na.executor(), scores)


def load_front_end() -> None:
    """TVM and its target; this module has brought everything else."""
    frontends.session()


def _library(artefact: Artefact) -> bytes:
    try:
        return artefact.library()
    except Exception:  # no linker on this machine: the workers build for themselves
        return b""


def compare_images(
    pool: WorkerPool,
    runners: Runners | Handle,
    images: Dataset,
    cuts: Cuts,
    batch: int,
    journal: Journal | None,
    progress: Progress,
) -> Tally:
    """All images through all of them; raises DataError for labels that the network does not know, WorkersLostError."""

    def arguments(index: int) -> tuple[Any, ...]:
        start, stop = cuts.span(index)
        labels = None if images.y is None else images.y[start:stop]
        return runners, images.source, images.read(start, stop), labels, batch

    most = most_waiting(cuts, images.bytes_of_one)
    job = Job(compare_shard, arguments, cuts.sizes(), cuts.name, most)
    parts = run_all_shards(pool, job, functools.partial(progress, "compare"), journal)
    return functools.reduce(operator.add, (Tally(**part) for part in parts))


one_at_a_time = threading.Lock()  # the simulator's totals are the process's, and TVM's functions no two threads'


def compare_shard(runners: Runners | Handle, source: str, x: Batch, y: LabelArray | None, batch: int) -> dict[str, Any]:
    """Some images through all of them; the fields of their Tally."""
    with one_at_a_time:
        opened = runners if isinstance(runners, Runners) else runners.open(open_runners)
        tally, before, seen = Tally(), library.bridge_totals(), 0
        for count, images in in_memory(source, x, y).batches(batch):
            labels = None if y is None else y[seen : seen + count]
            given = opened.reference(images)
            integers = given if opened.onnx_runtime is None else opened.onnx_runtime(images)
            try:
                outputs = given, integers, opened.cpu(images), opened.re2na(images)
                tally.add(count, labels, *outputs, scores=opened.scores)
            except DataError as error:
                raise DataError(f"{source}: {error}") from error
            seen += count
        after = library.bridge_totals()
        return dataclasses.asdict(
            dataclasses.replace(tally, totals={name: after[name] - before[name] for name in after})
        )
