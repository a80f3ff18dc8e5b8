"""The sweep: quantise and analyse the network once, then compile and time it for every machine of the grid."""

from __future__ import annotations

import csv
import io
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.data import DataSource
from tvm_re2na.exploration.outcomes import Exploring, Outcome, Pruned, same_programs
from tvm_re2na.exploration.pareto import pareto_front
from tvm_re2na.exploration.point import FIGURES
from tvm_re2na.exploration.pruning import Candidate
from tvm_re2na.exploration.sweep import Point, Sweep, make_grid
from tvm_re2na.identity import identity
from tvm_re2na.model_file import ModelSource
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.parallel.journal import open_journal
from tvm_re2na.parallel.shards import Lost
from tvm_re2na.parallel.worker_pool import open_worker_pool
from tvm_re2na.progress import Progress, silent
from tvm_re2na.runtime.many import processors

COLUMNS = (*FIGURES, "area_mm2", "offloaded_macs_share", "pareto", "pruned", "error")
FLAGS = ("pareto", "pruned")
COSTS = ("cycles", "dram_bytes", "area_mm2")


@dataclass(frozen=True)
class Exploration:
    """`rows` in the order of the grid, each with the swept `fields` and COLUMNS; figures are None where `error` is not, and where a
    machine was `pruned`: of that one `cycles_bound` is known.

    `lost`: how many rows have no figures because the workers that had them were lost, again and again.
    """

    fields: tuple[str, ...]
    rows: list[dict[str, Any]]
    lost: int = 0

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {"fields": list(self.fields), "rows": self.rows}

    def to_csv(self) -> str:
        """A header and one line per row; an empty cell is None, FLAGS are 0 or 1."""
        text = io.StringIO()
        writer = csv.DictWriter(text, (*self.fields, *COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {name: int(row[name]) for name in FLAGS} for row in self.rows)
        return text.getvalue()


def explore(
    model: ModelSource | Graph | Sequence[Graph],
    sweep: Sweep,
    executor: Executor | None = None,
    *,
    arch: Architecture | None = None,
    calibration: DataSource | None = None,
    input_shape: InputShape | None = None,
    batch: int = 1,
    jobs: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    prune: bool = False,
    progress: Progress = silent,
) -> Exploration:
    """Compile and time a network for every machine of a grid.

    `model` is an ONNX model (a float one needs `calibration`; `input_shape` as of `load_model`), or graphs that were lowered
    already. `sweep` maps fields of the architecture to lists of values; all other fields are those of `arch`. The points run on
    `executor`, which may be any `concurrent.futures.Executor`: that of a Dask client or of mpi4py's pool too; by default in
    `jobs` processes of this machine (as many as it has CPUs; one is this process). A script that uses the default needs `if
    __name__ == "__main__":`. Points that are finished are noted in the file `resume`, and not done again. With `prune`, machines
    that cannot be on the front, because another one is as good as their bounds, are not compiled for; the front is the same.

    Raises SweepError, ModelError, DataError, QuantizeError, JournalError; a point that cannot be compiled, or that three workers
    were lost with, is a row with its `error`.
    """
    base = arch or Architecture()
    points = make_grid(sweep, base)
    source = pipeline.opened(model, input_shape) if isinstance(model, str | os.PathLike | onnx.ModelProto) else model
    if calibration is not None and isinstance(source, onnx.ModelProto):
        calibration = pipeline.calibration_images(calibration, source)
    machines = [(index, point.arch) for index, point in enumerate(points) if point.arch is not None]

    def run() -> dict[str, object]:
        network = source if isinstance(source, onnx.ModelProto) else pickle.dumps(source)
        grid = "; ".join(f"{name} = {', '.join(map(str, values))}" for name, values in sweep.items())
        return identity("explore", model=network, sweep=grid, arch=base, calibration=calibration, batch=batch)

    shards = len(same_programs([arch for _, arch in machines]))
    with (
        open_worker_pool(executor, min(jobs or processors(), max(1, shards))) as pool,
        open_journal(resume, run, shards) as journal,
    ):
        lowered = _lowered(source, points, base, calibration, batch, progress)
        of_grid = [Candidate(arch, *lowered[index]) for index, arch in machines]
        found = Exploring(of_grid, lambda number: points[machines[number][0]].name, prune).run(pool, journal, progress)
    outcomes = {index: outcome for (index, _), outcome in zip(machines, found, strict=True)}
    rows = [_row(point, outcomes.get(index), lowered[index][1]) for index, point in enumerate(points)]
    return Exploration(tuple(sweep), _mark_front(rows), sum(isinstance(outcome, Lost) for outcome in found))


def _lowered(
    model: onnx.ModelProto | Graph | Sequence[Graph],
    points: Sequence[Point],
    base: Architecture,
    calibration: DataSource | None,
    batch: int,
    progress: Progress,
) -> list[tuple[tuple[Graph, ...], float]]:
    """For each point the graphs, one object where they are the same, and the share of MACs they hold; nothing for no machine."""
    if not isinstance(model, onnx.ModelProto):
        graphs = (model,) if isinstance(model, Graph) else tuple(model)
        return [(graphs, 1.0)] * len(points)
    quantized = pipeline.quantized_model(model, calibration, base, progress)
    progress("analyse", 0, 1)
    mod, params = pipeline.import_into_tvm(quantized, batch)
    found = iter(pipeline.lower_for_each(mod, params, [point.arch for point in points if point.arch is not None]))
    progress("analyse", 1, 1)
    lowered = [next(found) if point.arch is not None else None for point in points]
    return [(item.graphs, item.offloaded_macs_share) if item is not None else ((), 0.0) for item in lowered]


def _row(point: Point, outcome: Outcome | None, share: float) -> dict[str, Any]:
    """`outcome`: None for a point that is no machine."""
    figures: dict[str, Any] = {}
    error = point.error
    if isinstance(outcome, Lost):
        error = outcome.reason
    elif isinstance(outcome, Pruned):
        figures = {"cycles_bound": outcome.bound[0]}
    elif outcome is not None:
        figures, error = outcome["figures"], outcome["error"]
    row: dict[str, Any] = dict(point.values)
    row |= {name: figures.get(name) for name in FIGURES}
    row["area_mm2"] = point.arch.area_mm2 if point.arch is not None else None
    row["offloaded_macs_share"] = share if point.arch is not None else None
    return row | {"pareto": False, "pruned": isinstance(outcome, Pruned), "error": error}


def _mark_front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The front of COSTS among the rows that offload the most: what runs on the CPU costs no cycles, and would look cheap."""
    good = [row for row in rows if row["cycles"] is not None]
    most = max((row["offloaded_macs_share"] for row in good), default=0.0)
    candidates = [row for row in good if row["offloaded_macs_share"] == most]
    front = pareto_front([tuple(row[name] for name in COSTS) for row in candidates])
    for row, on_front in zip(candidates, front, strict=True):
        row["pareto"] = on_front
    return rows
