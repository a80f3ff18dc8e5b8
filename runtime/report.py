"""The figures of a compiled network, operator by operator: what `re2na compile --report` shows and `--json` prints.

All of them are for one inference, that is a batch's share of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import energy
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.losses import beyond_bound, largest_loss, usages
from tvm_re2na.runtime.network_traffic import network_traffic
from tvm_re2na.runtime.timeline import CAUSES, shares

ADDITIVE = ("macs", "cycles", "cycles_bound", "dram_bytes", "dram_bytes_compulsory")


def compile_report(programs: Sequence[Program], border_bytes: int = 0) -> dict[str, Any]:
    """{"layers": [...], "total": {...}} over all programs of a network. Layers add up to the total, but for `cycles_bound`.

    `border_bytes` as of `network_traffic`.
    """
    layers = [layer for program in programs for layer in layer_report(program)]
    totals = [_total(program) for program in programs]
    total: dict[str, Any] = {name: sum(layer[name] for layer in layers) for name in ADDITIVE if name != "cycles_bound"}
    total["cycles_bound"] = sum(part["cycles_bound"] for part in totals)
    total["dram_bytes_bound"] = total["dram_bytes_compulsory"] + sum(part["forced_bytes"] for part in totals)
    total["causes"] = {cause: sum(layer["causes"][cause] for layer in layers) for cause in CAUSES}
    bounds = [part["sram_bound_bytes"] for part in totals if part["sram_bound_bytes"] is not None]
    total["sram_bound_bytes"] = max(bounds, default=None)
    total["sram_peak_bytes"] = max((part["sram_peak_bytes"] for part in totals), default=0)
    total["compile_seconds"] = sum(part["compile_seconds"] for part in totals)
    spent = {part: _sum_pj(layer["energy_pj"][part] for layer in layers) for part in energy.PARTS}
    arch = programs[0].arch if programs else Architecture()
    total |= network_traffic(programs, border_bytes).to_json(total["dram_bytes"])
    return {"layers": layers, "total": total | _speed_and_energy(arch, total["macs"], total["cycles"], spent)}


def layer_report(program: Program) -> list[dict[str, Any]]:
    """One row per source operator of a program."""
    batch = program.inputs[0].shape[0] if program.inputs else 1
    bounds = program.meta.get("layers") or [{}] * len(program.sources)
    timeline, counts = shares(program, LoadedProgram(program).timing), energy.counted(program)
    spent = energy.energies(program.arch, counts, [sum(share.causes.values()) for share in timeline])
    columns = {
        "macs": [source.macs for source in program.sources],
        "cycles_bound": [bound.get("cycles_bound", 0) for bound in bounds],
        "dram_bytes": [count.dram for count in counts],
        "dram_bytes_compulsory": [bound.get("dram_bytes_compulsory", 0) for bound in bounds],
    }
    additive = {name: _per_inference(values, batch) for name, values in columns.items()}
    causes = _tables_per_inference([share.causes for share in timeline], batch)
    beyond = _tables_per_inference(
        [beyond_bound(share.causes, bound) for share, bound in zip(timeline, bounds, strict=True)], batch
    )
    joules = _tables_per_inference(spent, batch)
    losses = [
        largest_loss(share, usage, bound, source.macs, count.macs)
        for share, usage, bound, source, count in zip(
            timeline, usages(program), bounds, program.sources, counts, strict=True
        )
    ]
    rows = []
    for index, source in enumerate(program.sources):
        row: dict[str, Any] = {"name": source.name, "op": source.op}
        row |= {name: values[index] for name, values in additive.items()}
        row["cycles"] = sum(causes[index].values())
        row["causes"], row["causes_beyond"] = causes[index], beyond[index]
        row["utilisation"] = _utilisation(program.arch, row["macs"], row["cycles"])
        row["overflow_bound"] = bounds[index].get("overflow_bound", 0)
        row["energy_pj"] = {part: fj / 1000 for part, fj in joules[index].items()}
        row["loss"], row["loss_cycles"] = losses[index].words, losses[index].cycles // batch
        rows.append(row)
    return rows


def _utilisation(arch: Architecture, macs: int, cycles: int) -> float:
    peak = cycles * arch.peak_macs_per_cycle
    return macs / peak if peak else 0.0


def _speed_and_energy(arch: Architecture, macs: int, cycles: int, spent: dict[str, float]) -> dict[str, Any]:
    """`tops_per_watt` counts two operations for each of the network's MACs, whatever the machine executes for them."""
    microseconds, all_of_it = cycles / arch.clock_mhz, sum(spent.values())
    return {
        "utilisation": _utilisation(arch, macs, cycles),
        "microseconds": microseconds,
        "energy_pj": spent,
        "tops_per_watt": energy.efficiency(macs, all_of_it * 1000),
        "tops_per_watt_without_dram": energy.efficiency(macs, (all_of_it - spent["dram"]) * 1000),
        "milliwatts": all_of_it / microseconds / 1000 if cycles else 0.0,
    }


def _sum_pj(values: Iterable[float]) -> float:
    """Summed as the whole femtojoules they are, so that nothing is lost."""
    return sum(round(value * 1000) for value in values) / 1000


def _per_inference(values: Iterable[int], batch: int) -> list[int]:
    """Whole numbers whose sum is the sum of `values` divided by `batch`, rounded down."""
    sums = accumulate(values, initial=0)
    return [after // batch - before // batch for before, after in pairwise(sums)]


def _tables_per_inference(tables: Sequence[dict[str, int]], batch: int) -> list[dict[str, int]]:
    """The same for several figures of each layer at once, so that both rows and columns add up."""
    flat = iter(_per_inference((value for table in tables for value in table.values()), batch))
    return [{name: next(flat) for name in table} for table in tables]


def _total(program: Program) -> dict[str, Any]:
    batch = program.inputs[0].shape[0] if program.inputs else 1
    total = program.meta.get("total", {})
    seconds = program.compile_seconds if program.compile_seconds is not None else total.get("compile_seconds", 0.0)
    return {
        "cycles_bound": total.get("cycles_bound", 0) // batch,
        "forced_bytes": total.get("dram_bytes_forced", 0) // batch,
        "sram_peak_bytes": total.get("sram_peak_bytes", 0),
        "sram_bound_bytes": total.get("sram_bound_bytes"),
        "compile_seconds": seconds,
    }
