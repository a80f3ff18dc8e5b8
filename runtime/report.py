"""The figures of a compiled network, operator by operator: what `re2na compile --json` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.runtime.result import Timing

ADDITIVE = ("macs", "cycles", "cycles_bound", "dram_bytes", "dram_bytes_compulsory")


def compile_report(programs: Sequence[Program]) -> dict[str, Any]:
    """{"layers": [...], "total": {...}} over all programs of a network, for one inference.

    A layer's `cycles` is its share of the timeline: operators overlap, so each gets the time from the finish of the one before it
    to its own, and the shares add up to the total. `utilisation` is macs / (cycles * peak), 0 where a layer has no cycles of its
    own. `overflow_bound` is the largest |sum| that any int8 input could give, where the compiler knows it.
    """
    layers = [layer for program in programs for layer in layer_report(program)]
    totals = [_total(program) for program in programs]
    total: dict[str, Any] = {name: sum(layer[name] for layer in layers) for name in ADDITIVE if name != "cycles_bound"}
    total["cycles_bound"] = sum(part["cycles_bound"] for part in totals)
    total["sram_peak_bytes"] = max((part["sram_peak_bytes"] for part in totals), default=0)
    total["compile_seconds"] = sum(part["compile_seconds"] for part in totals)
    return {"layers": layers, "total": total}


def layer_report(program: Program) -> list[dict[str, Any]]:
    """One row per source operator of a program, for one inference (a batch's share)."""
    batch = program.inputs[0].shape[0] if program.inputs else 1
    bounds = program.meta.get("layers") or [{}] * len(program.sources)
    columns = {
        "macs": [source.macs for source in program.sources],
        "cycles": timeline_shares(program, Simulator(program).timing),
        "cycles_bound": [bound.get("cycles_bound", 0) for bound in bounds],
        "dram_bytes": _dram_bytes(program),
        "dram_bytes_compulsory": [bound.get("dram_bytes_compulsory", 0) for bound in bounds],
    }
    shares = {name: _per_inference(values, batch) for name, values in columns.items()}
    rows = []
    for index, source in enumerate(program.sources):
        row: dict[str, Any] = {"name": source.name, "op": source.op}
        row |= {name: shares[name][index] for name in ADDITIVE}
        peak = row["cycles"] * program.arch.peak_macs_per_cycle
        row["utilisation"] = row["macs"] / peak if peak else 0.0
        row["overflow_bound"] = bounds[index].get("overflow_bound", 0)
        rows.append(row)
    return rows


def timeline_shares(program: Program, timing: Timing) -> list[int]:
    """Cycles per source operator, in the order in which they finish: from the last finish of the one before to its own."""
    finish = [0] * len(program.sources)
    for at, span in zip(program.instructions, timing.instructions, strict=True):
        if at.name != "HALT":
            finish[at.source] = max(finish[at.source], span.finish)
    shares, before = [0] * len(finish), 0
    for index in sorted(range(len(finish)), key=lambda index: (finish[index], index)):
        if finish[index]:
            shares[index] = finish[index] - before
            before = finish[index]
    return shares


def _dram_bytes(program: Program) -> list[int]:
    moved = [0] * len(program.sources)
    for at in program.instructions:
        if at.name in ("LOAD", "STORE"):
            moved[at.source] += at["bytes"] * at["rows"] * at["planes"]
    return moved


def _per_inference(values: Iterable[int], batch: int) -> list[int]:
    """Whole numbers whose sum is the sum of `values` divided by `batch`, rounded down."""
    sums = accumulate(values, initial=0)
    return [after // batch - before // batch for before, after in pairwise(sums)]


def _total(program: Program) -> dict[str, Any]:
    batch = program.inputs[0].shape[0] if program.inputs else 1
    total = program.meta.get("total", {})
    seconds = program.compile_seconds if program.compile_seconds is not None else total.get("compile_seconds", 0.0)
    return {
        "cycles_bound": total.get("cycles_bound", 0) // batch,
        "sram_peak_bytes": total.get("sram_peak_bytes", 0),
        "compile_seconds": seconds,
    }
