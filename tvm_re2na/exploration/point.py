"""One point of the grid, as a worker process computes it: compile and time, without TVM."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph import Graph
from tvm_re2na.runtime.report import compile_report

FIGURES = ("cycles", "microseconds", "cycles_bound", "utilisation", "dram_bytes", "energy_uj", "sram_peak_bytes")


@dataclass(frozen=True)
class Task:
    """`graphs` are pickled already, once for all points that share them: weights are large."""

    arch: Architecture
    graphs: bytes


@dataclass(frozen=True)
class Outcome:
    """The figures of one inference, or the reason why there are none."""

    figures: dict[str, Any]
    error: str | None = None


def compile_point(task: Task) -> Outcome:
    """Compile and time. Whatever goes wrong is this point's error: a sweep of hours must not end with it."""
    try:
        return Outcome(_figures(task))
    except Exception as error:
        return Outcome({}, one_line(error))


def _figures(task: Task) -> dict[str, Any]:
    graphs: tuple[Graph, ...] = pickle.loads(task.graphs)
    if not graphs:
        raise CompileError("no operator can be offloaded")
    total = compile_report([compile_graph(graph, task.arch) for graph in graphs])["total"]
    total["energy_uj"] = round(sum(total["energy_pj"].values()) / 1e6, 9)  # whole femtojoules
    return {name: total[name] for name in FIGURES}


def one_line(error: Exception) -> str:
    """The message of an error of ours, which is meant to be read; of any other its kind as well."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("tvm_re2na.") else f"{type(error).__name__}: {text}"
