"""`re2na vectors`: what a hardware test bench needs of a run."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from tvm_re2na.cli import images, outputs, render
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.vectors import write_vectors


def vectors(options: argparse.Namespace) -> Result:
    """Memories around chosen instructions of one run, as files."""
    outputs.check_folder(options.output)
    known = {"layers": options.layers, "instructions": options.instructions, "image": options.image}
    known["preprocessing"] = images.preprocessing(options)
    with progress_bar() as progress:
        found = write_vectors(options.program, options.data, options.output, **known, progress=progress)
    steps = [_row(found, step) for step in found["steps"]]
    data = {
        "program": str(options.program),
        "folder": str(options.output),
        "cycles": found["program"]["cycles"],
        "instructions": len(found["instructions"]),
        "files": len(found["files"]),
        "words": sum(file["words"] for file in found["files"].values()),
        "steps": steps,
    }
    shown = (_table(steps),) if steps else ()
    return Result(data, (*shown, render.facts_table("Vectors", _facts(data)), *outputs.written(options.output)))


def _row(found: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    at = found["instructions"][step["instruction"]]
    return {name: at[name] for name in ("index", "name", "layer", "start", "finish")}


def _table(steps: list[dict[str, Any]]) -> Table:
    table = Table(title="Memories before and after", title_justify="left")
    for name in ("instruction", "name", "layer", "starts at cycle", "ends at"):
        table.add_column(name, justify="left" if name in ("name", "layer") else "right")
    for step in steps:
        numbers = f"{step['start']:,}", f"{step['finish']:,}"
        table.add_row(str(step["index"]), step["name"], step["layer"] or "", *numbers)
    return table


def _facts(data: dict[str, Any]) -> dict[str, str]:
    return {
        "program": data["program"],
        "instructions": f"{data['instructions']:,}, of which {len(data['steps']):,} with memories before and after",
        "cycles per run": f"{data['cycles']:,}",
        "memory files": f"{data['files']:,}, {data['words']:,} words",
    }
