"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from tvm_re2na.comparison_rows import percent, rows_of
from tvm_re2na.runtime.timeline import CAUSE_NAMES

if TYPE_CHECKING:
    from tvm_re2na.exploration.run import Exploration
    from tvm_re2na.quantize import QuantizationReport
    from tvm_re2na.tally import Comparison


def comparison_table(result: Comparison, title: str) -> Table:
    """The given model, what of it is int8, and Re²Na side by side."""
    rows = rows_of(result)
    table = Table(title=title, title_justify="left")
    for name in ("per inference", *rows.sides):
        table.add_column(name, justify="left" if name == "per inference" else "right")
    for index, row in enumerate(rows.scores, 1):
        table.add_row(*row, end_section=index == len(rows.scores))
    for label, value in rows.machine:
        table.add_row(label, *("" for _ in rows.sides[1:]), value)
    return table


def explanation_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line per operator; `Re²Na/1` is region 1, where there are several."""
    table = Table(title="Where each operator runs, and why", title_justify="left")
    for name in ("operator", "kind", "runs on", "why it is on the CPU"):
        table.add_column(name, overflow="fold")
    several = any(row["region"] for row in rows)
    for row in rows:
        found = [f"{name} {row[name]}" for name in ("value", "limit") if row[name] is not None]
        why = "" if row["offloaded"] else f"{row['reason']} ({row['rule']}: {', '.join(found)})"
        place = f"Re²Na/{row['region']}" if several else "Re²Na"
        table.add_row(row["name"], row["op"], place if row["offloaded"] else "CPU", why)
    return table


def regions_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many parts of the network are on Re²Na, and what crosses between them and the CPU."""
    regions = len({row["region"] for row in rows if row["offloaded"]})
    return f"regions on Re²Na: {regions:,}; in and out of them: {sum(row['crossing_bytes'] for row in rows):,} bytes"


def doctor_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line per thing looked at."""
    table = Table(title="What is installed, and what works", title_justify="left")
    for name in ("what", "state", "found", "what mends it"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row["what"], row["state"], Text(row["detail"]), Text(row["mend"] or ""))  # brackets are no markup
    return table


def accumulator_table(report: QuantizationReport) -> Table:
    """Exponents and how full each layer's accumulators are."""
    table = Table(title="Exponents and accumulators", title_justify="left")
    table.add_column("layer", overflow="fold")
    for name in ("e_x", "e_w", "e_y", "lsb", "largest sum", "limit", "headroom", "carry bits", "worst case", "SNR dB"):
        table.add_column(name, justify="right")
    for layer in report.layers:
        exponents = (layer.e_x, layer.e_w, layer.e_y, layer.lsb)
        sums = (f"{layer.observed_max:,}", f"{layer.limit:,}", f"{layer.headroom:.2f}", str(layer.carry_bits))
        table.add_row(layer.name, *map(str, exponents), *sums, f"{layer.worst_case:,}", f"{layer.snr_db:.1f}")
    return table


def output_lines(report: QuantizationReport) -> Iterable[str]:
    """Of which images all this is, what the outputs are worth, and which layers stay in float."""
    images = report.images
    held = "disturbed copies of them" if images.synthetic else "images that the search did not see"
    yield f"the search saw {images.seen} images; sums and SNR are of {images.held_back} {held}"
    for output in report.outputs:
        shown = ("no noise" if db is None else f"{db:.1f} dB" for db in (output.snr_db, output.onnxruntime_snr_db))
        yield "{}: {} of signal over noise on the machine, {} in ONNX Runtime".format(output.name, *shown)
    for name in report.kept_float:
        yield f"{name} stays in float: its sums do not fit the accumulator"


def layer_table(report: Mapping[str, Any]) -> Table:
    """The layers of `compile --json`, and their total. `use` is the utilisation of the array."""
    table = Table(title="Layers", title_justify="left")
    for name in ("layer", "op"):
        table.add_column(name, overflow="fold")
    for name in ("MACs", "cycles", "bound", "DRAM bytes", "compulsory", "use"):
        table.add_column(name, justify="right")
    for layer in report["layers"]:
        table.add_row(layer["name"], layer["op"], *_figures(layer), _use(layer))
    table.add_section()
    table.add_row("total", "", *_figures(report["total"]), "")
    return table


def _figures(row: Mapping[str, Any]) -> Iterable[str]:
    return (f"{row['macs']:,}", *_time(row), *(f"{row[name]:,}" for name in ("dram_bytes", "dram_bytes_compulsory")))


def _time(row: Mapping[str, Any]) -> Iterable[str]:
    """Cycles and their bound; empty where another layer's unit does the work of this one, or none is left to do."""
    return (f"{row[name]:,}" if row["cycles"] else "" for name in ("cycles", "cycles_bound"))


def _use(row: Mapping[str, Any]) -> str:
    return percent(row["utilisation"]) if row["cycles"] else ""


CAUSES = {cause: column for cause, (column, _) in CAUSE_NAMES.items()}
ENERGY = {"mac": "MACs", "sram": "SRAM", "dram": "DRAM", "idle": "idle"}


def causes_table(report: Mapping[str, Any]) -> Table:
    """Where the array's cycles go, layer by layer, beside the bound, and the largest loss against it."""
    explained = "; ".join(f"{CAUSES[cause]}: {CAUSE_NAMES[cause][1]}" for cause in ("wait_load", "wait_store"))
    title = f"Cycles of the array by cause ({explained})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    for name in ("cycles", "bound", *CAUSES.values(), "use"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("largest loss", overflow="fold")
    for layer in report["layers"]:
        loss = f"{layer['loss']} ({layer['loss_cycles']:,})" if layer["loss"] else ""
        table.add_row(layer["name"], *_cycles(layer), loss)
    table.add_section()
    table.add_row("total", *_cycles(report["total"]), "")
    return table


def _cycles(row: Mapping[str, Any]) -> Iterable[str]:
    yield from _time(row)
    yield from (f"{row['causes'][cause]:,}" if row["cycles"] else "" for cause in CAUSES)
    yield _use(row)


def energy_table(report: Mapping[str, Any]) -> Table:
    """Microjoules by part, layer by layer."""
    table = Table(title="Energy in uJ (an estimate: docs/energy.md)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    for name in (*ENERGY.values(), "sum"):
        table.add_column(name, justify="right")
    for layer in report["layers"]:
        table.add_row(layer["name"], *_microjoules(layer))
    table.add_section()
    table.add_row("total", *_microjoules(report["total"]))
    return table


def _microjoules(row: Mapping[str, Any]) -> Iterable[str]:
    parts = [row["energy_pj"][part] for part in ENERGY]
    return (f"{value / 1e6:,.3f}" for value in (*parts, sum(parts)))


def cost_facts(total: Mapping[str, Any]) -> dict[str, str]:
    """The whole network's time and energy in words."""
    return {
        "time (assumed clock)": f"{total['microseconds']:,.1f} us",
        "energy": f"{sum(total['energy_pj'].values()) / 1e6:,.3f} uJ",
        "average power": f"{total['milliwatts']:,.2f} mW",
        "efficiency": f"{total['tops_per_watt']:.3f} TOPS/W, {total['tops_per_watt_without_dram']:.3f} without DRAM",
    }


def exploration_table(found: Exploration) -> Table:
    """One line per machine, in the order of the grid; a star marks the Pareto front."""
    title = "Machines (* on the Pareto front of cycles, DRAM traffic and area)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in (*found.fields, "cycles", "us", "DRAM bytes", "uJ", "mm2", "offloaded"):
        table.add_column(name, justify="right", overflow="fold")
    for row in found.rows:
        values = [f"{row[name]:,}" if isinstance(row[name], int) else row[name] for name in found.fields]
        table.add_row("*" if row["pareto"] else "", *values, *_point_figures(row))
    told = [f"{_point(row, found.fields)}: {row['error']}" for row in found.rows if row["error"]]
    if pruned := sum(row["pruned"] for row in found.rows):
        told.append(
            f">= is a bound: {pruned} of {len(found.rows)} machines were not compiled for (--prune), as another is no worse"
        )
    table.caption, table.caption_justify = "\n".join(told) or None, "left"
    return table


def _point_figures(row: Mapping[str, Any]) -> Iterable[str]:
    formats = {"cycles": ",", "microseconds": ",.1f", "dram_bytes": ",", "energy_uj": ",.2f", "area_mm2": ".2f"}
    least = {"cycles": f">= {row['cycles_bound']:,}"} if row["pruned"] else {}
    for name, how in formats.items():
        yield least.get(name, "-") if row[name] is None else format(row[name], how)
    yield percent(row["offloaded_macs_share"])


def _point(row: Mapping[str, Any], fields: Sequence[str]) -> str:
    return ", ".join(f"{name} = {row[name]}" for name in fields)


def facts_table(title: str, facts: Mapping[str, str]) -> Table:
    """Names and values."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def run_facts(run: Mapping[str, Any]) -> dict[str, str]:
    """The figures of `run --json` in words."""
    facts = {
        "program": run["program"],
        "images": f"{run['images']:,} ({run['batch']} per run)",
        "top-1 accuracy": percent(run["top1"]),
        "accumulator overflows": f"{run['overflows']:,}",
        "cycles per run": f"{run['cycles']:,}",
        "time (assumed clock)": f"{run['milliseconds']:,.3f} ms",
        "array utilisation": percent(run["utilisation"]),
        "DRAM traffic": f"{run['dram_bytes']:,} bytes",
    }
    return facts | {f"output {item['name']}": "x".join(map(str, item["shape"])) for item in run["outputs"]}


def check_facts(found: Mapping[str, Any]) -> dict[str, str]:
    """What `check --json` says, in words."""
    return {
        "program": found["program"],
        "rules": f"kept by all {found['instructions']:,} instructions",
        "cycles per run": f"{found['cycles']:,}, the same in both timing models for every instruction",
        "hazards": f"none, {found['tokens']:,} tokens order whatever shares a byte",
        "asks of the host": f"{found['memory_bytes']:,} bytes, and {found['work']:,} element steps a run",
    }
