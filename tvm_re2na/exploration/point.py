"""One program's points of the grid, as a worker process computes them: compile once, report for each, without TVM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.runtime.report import compile_report

FIGURES = ("cycles", "microseconds", "cycles_bound", "utilisation", "dram_bytes", "energy_uj", "sram_peak_bytes")
# fields that no program depends on: they only price it
PRICES = (
    *("clock_mhz", "mac_energy_fj", "sram_energy_fj", "dram_energy_fj", "idle_power_uw"),
    *("pe_area_um2", "sram_area_um2", "dram_area_um2", "shape_area_um2"),
)


def without_prices(arch: Architecture) -> Architecture:
    """The same for all machines that run the same programs."""
    ours = Architecture()
    return replace(arch, **{name: getattr(ours, name) for name in PRICES})


def compile_points(graphs: Handle, machines: Sequence[Architecture]) -> list[dict[str, Any]]:
    """For each of `machines`, which differ in PRICES alone, the `figures` of one inference, and the `error` that says why there are
    none.

    Whatever goes wrong is these points' error: a sweep of hours must not end with it.
    """
    try:
        programs = _programs(graphs.open(tuple), machines[0])
        return [{"figures": _figures(programs, arch), "error": None} for arch in machines]
    except Exception as error:
        return [{"figures": {}, "error": one_line(error)} for _ in machines]


def _programs(graphs: tuple[Graph, ...], arch: Architecture) -> list[Program]:
    if not graphs:
        raise CompileError("no operator can be offloaded")
    return [compile_graph(graph, arch) for graph in graphs]


def _figures(programs: list[Program], arch: Architecture) -> dict[str, Any]:
    total = compile_report([replace(program, arch=arch) for program in programs])["total"]
    total["energy_uj"] = round(sum(total["energy_pj"].values()) / 1e6, 9)  # whole femtojoules
    return {name: total[name] for name in FIGURES}


def one_line(error: Exception) -> str:
    """The message of an error of ours, which is meant to be read; of any other its kind as well."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("tvm_re2na.") else f"{type(error).__name__}: {text}"
