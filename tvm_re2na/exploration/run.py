"""The sweep: quantise and analyse the network once, then compile and time it for every machine of the grid."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph import Graph
from tvm_re2na.data import Dataset
from tvm_re2na.exploration.pareto import pareto_front
from tvm_re2na.exploration.point import FIGURES, Outcome, Task, compile_point, one_line
from tvm_re2na.exploration.sweep import Point, Sweep, make_grid
from tvm_re2na.pipeline import Progress, silent

Model: TypeAlias = onnx.ModelProto | str | os.PathLike[str]
COLUMNS = (*FIGURES, "area_mm2", "offloaded_macs_share", "pareto", "error")
COSTS = ("cycles", "dram_bytes", "area_mm2")


@dataclass(frozen=True)
class Exploration:
    """`rows` in the order of the grid, each with the swept `fields` and COLUMNS; figures are None where `error` is not."""

    fields: tuple[str, ...]
    rows: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {"fields": list(self.fields), "rows": self.rows}

    def to_csv(self) -> str:
        """A header and one line per row; an empty cell is None, `pareto` is 0 or 1."""
        text = io.StringIO()
        writer = csv.DictWriter(text, (*self.fields, *COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"pareto": int(row["pareto"])} for row in self.rows)
        return text.getvalue()


def explore(
    model: Model | Graph | Sequence[Graph],
    sweep: Sweep,
    executor: Executor | None = None,
    *,
    arch: Architecture | None = None,
    calibration: Dataset | None = None,
    batch: int = 1,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Exploration:
    """Compile and time a network for every machine of a grid.

    `model` is an ONNX model (a float one needs `calibration`), or graphs that were lowered already. `sweep` maps fields of the
    architecture to lists of values; all other fields are those of `arch`. The points run on `executor`, which may be any
    `concurrent.futures.Executor`: that of a Dask client or of mpi4py's pool too; by default in `jobs` processes of this machine
    (as many as it has CPUs). A script that uses the default needs `if __name__ == "__main__":`.

    Raises SweepError, ModelError, DataError, QuantizeError; a point that cannot be compiled is a row with its `error`.
    """
    base = arch or Architecture()
    points = make_grid(sweep, base)
    lowered = _lowered(model, points, base, calibration, batch, progress)
    tasks = [
        Task(point.arch, graphs) if point.arch is not None else None
        for point, (graphs, _) in zip(points, lowered, strict=True)
    ]
    with _executor(executor, jobs, len(tasks)) as workers:
        outcomes = _run(workers, tasks, progress)
    rows = [_row(*item) for item in zip(points, outcomes, (share for _, share in lowered), strict=True)]
    return Exploration(tuple(sweep), _mark_front(rows))


def _lowered(
    model: Model | Graph | Sequence[Graph],
    points: Sequence[Point],
    base: Architecture,
    calibration: Dataset | None,
    batch: int,
    progress: Progress,
) -> list[tuple[bytes, float]]:
    """For each point the pickled graphs and the share of MACs they hold; nothing for a point that is no machine."""
    if isinstance(model, Graph):
        model = [model]
    if isinstance(model, Sequence) and not isinstance(model, str):
        return [(pickle.dumps(tuple(model)), 1.0)] * len(points)
    proto = model if isinstance(model, onnx.ModelProto) else pipeline.load_model(model)
    quantized = pipeline.quantized_model(proto, calibration, base, progress)
    progress("analyse", 0, 1)
    mod, params = pipeline.import_into_tvm(quantized, batch)
    machines = [point.arch for point in points if point.arch is not None]
    pickled: dict[int, bytes] = {}
    found = []
    for lowered in pipeline.lower_for_each(mod, params, machines):
        if id(lowered) not in pickled:
            pickled[id(lowered)] = pickle.dumps(lowered.graphs)
        found.append((pickled[id(lowered)], lowered.offloaded_macs_share))
    progress("analyse", 1, 1)
    ready = iter(found)
    return [next(ready) if point.arch is not None else (b"", 0.0) for point in points]


@contextmanager
def _executor(given: Executor | None, jobs: int | None, tasks: int) -> Iterator[Executor]:
    """The caller's, which stays open, or processes of our own: new ones, since a fork of a process with TVM's threads may hang."""
    if given is not None:
        yield given
        return
    count = min(jobs or len(os.sched_getaffinity(0)), tasks)
    context = multiprocessing.get_context("spawn")
    own = ProcessPoolExecutor(
        count, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )  # Ctrl-C is for this process
    try:
        yield own
    finally:
        own.shutdown(cancel_futures=True)


def _run(executor: Executor, tasks: Sequence[Task | None], progress: Progress) -> list[Outcome]:
    """One outcome per task, in order; a worker that dies takes its points with it, and nothing else."""
    futures = {index: _submit(executor, task) for index, task in enumerate(tasks) if task is not None}
    progress("compile", 0, len(futures))
    for done, _ in enumerate(as_completed(futures.values()), 1):
        progress("compile", done, len(futures))
    return [_outcome(futures[index]) if index in futures else Outcome({}) for index in range(len(tasks))]


def _submit(executor: Executor, task: Task) -> Future[Outcome]:
    try:
        return executor.submit(compile_point, task)
    except Exception as error:  # a pool whose workers have died takes no more
        failed: Future[Outcome] = Future()
        failed.set_exception(error)
        return failed


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except Exception as error:
        return Outcome({}, one_line(error))


def _row(point: Point, outcome: Outcome, share: float) -> dict[str, Any]:
    row: dict[str, Any] = dict(point.values)
    row |= {name: outcome.figures.get(name) for name in FIGURES}
    row["area_mm2"] = point.arch.area_mm2 if point.arch is not None else None
    row["offloaded_macs_share"] = share if point.arch is not None else None
    return row | {"pareto": False, "error": point.error or outcome.error}


def _mark_front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The front of COSTS among the rows that offload the most: what runs on the CPU costs no cycles, and would look cheap."""
    good = [row for row in rows if row["error"] is None]
    most = max((row["offloaded_macs_share"] for row in good), default=0.0)
    candidates = [row for row in good if row["offloaded_macs_share"] == most]
    front = pareto_front([tuple(row[name] for name in COSTS) for row in candidates])
    for row, on_front in zip(candidates, front, strict=True):
        row["pareto"] = on_front
    return rows
