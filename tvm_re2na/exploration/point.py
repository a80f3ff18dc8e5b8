"""One point of the grid, as a worker process computes it: compile and time, without TVM."""

from __future__ import annotations

from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.runtime.report import compile_report

FIGURES = ("cycles", "microseconds", "cycles_bound", "utilisation", "dram_bytes", "energy_uj", "sram_peak_bytes")


def compile_point(graphs: Handle, arch: Architecture) -> dict[str, Any]:
    """The `figures` of one inference on `arch`, and the `error` that says why there are none.

    Whatever goes wrong is this point's error: a sweep of hours must not end with it.
    """
    try:
        return {"figures": _figures(graphs.open(tuple), arch), "error": None}
    except Exception as error:
        return {"figures": {}, "error": one_line(error)}


def _figures(graphs: tuple[Graph, ...], arch: Architecture) -> dict[str, Any]:
    if not graphs:
        raise CompileError("no operator can be offloaded")
    total = compile_report([compile_graph(graph, arch) for graph in graphs])["total"]
    total["energy_uj"] = round(sum(total["energy_pj"].values()) / 1e6, 9)  # whole femtojoules
    return {name: total[name] for name in FIGURES}


def one_line(error: Exception) -> str:
    """The message of an error of ours, which is meant to be read; of any other its kind as well."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("tvm_re2na.") else f"{type(error).__name__}: {text}"
