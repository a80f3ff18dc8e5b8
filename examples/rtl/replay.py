"""Replays the instructions of a folder of vectors on the processing elements of `pe.v`, under Icarus Verilog.

    python examples/rtl/replay.py FOLDER [--rows 8] [--columns 8] [--tiles 4] [--json]

prints a line for each instruction that computes; exit code 1 if any result differs, 2 if the folder has no
vectors or those of a machine that `pe.v` is not, 3 if cocotb or Icarus Verilog is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tiles import NotReplayed, tiles
from vectors import Step, Vectors

HERE = Path(__file__).parent
PE = {"acc_overflow": "wrap", "cut_overflow": "saturate"}  # what is built into pe.v and cut.v


def main() -> int:
    options = read_options()
    reason = missing()
    if reason:
        print(f"replay: {reason}", file=sys.stderr)
        return 3
    try:
        vectors = Vectors.open(options.folder.resolve())
    except (OSError, ValueError, KeyError) as error:
        print(f"replay: {options.folder}: no vectors: {error}", file=sys.stderr)
        return 2
    for name, value in PE.items():
        if vectors.machine[name] != value:
            print(f"replay: the machine has {name} = {vectors.machine[name]}, pe.v has {value}", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as folder:
        runner = build(vectors, Path(folder), options)
        rows = [replay(runner, vectors, step, Path(folder), options) for step in vectors.steps]
    show(rows, options.json)
    return int(any(row.get("unequal") or row.get("failed") for row in rows))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay vectors on the processing elements of pe.v.")
    parser.add_argument("folder", type=Path, help="what `re2na vectors` wrote")
    parser.add_argument("--rows", type=int, default=8, help="of the corner of the array that is built (8)")
    parser.add_argument("--columns", type=int, default=8, help="its columns (8)")
    parser.add_argument("--tiles", type=int, default=4, help="of each instruction at most, spread evenly; 0: all (4)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def missing() -> str:
    """What is not there, or nothing."""
    if shutil.which("iverilog") is None:
        return "Icarus Verilog is missing: apt-get install iverilog"
    try:
        import cocotb_tools.runner  # noqa: F401
    except ImportError:
        return "cocotb 2 is missing: pip install cocotb"
    return ""


def build(vectors: Vectors, work: Path, options: argparse.Namespace) -> Any:
    """The simulator of a corner of the array."""
    from cocotb_tools.runner import get_runner

    runner, machine = get_runner("icarus"), vectors.machine
    sizes = {"ACC_BITS": machine["acc_bits"], "DATA_BITS": machine["data_bits"], "SRAM_BYTES": machine["sram_bytes"]}
    sizes["HALF_UP"] = int(machine["rounding"] == "half_up")
    runner.build(
        sources=[HERE / name for name in ("pe.v", "cut.v", "add.v", "tile.v")],
        hdl_toplevel="tile",
        parameters={"ROWS": options.rows, "COLUMNS": options.columns, **sizes},
        timescale=("1ns", "1ns"),
        build_dir=work,
        log_file=work / "build.log",
    )
    return runner


def replay(runner: Any, vectors: Vectors, step: Step, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What came of one instruction."""
    row = {name: step.instruction[name] for name in ("index", "name", "layer")}
    try:
        tiles(step, options.rows, options.columns)
    except NotReplayed as reason:
        return row | {"reason": str(reason)}
    found, log = work / f"{step.index}.json", work / f"{step.index}.log"
    told = {"VECTORS": vectors.folder, "INSTRUCTION": step.index, "TILES": options.tiles, "FOUND": found}
    with contextlib.suppress(SystemExit):  # of a failed test, where pytest has started all this
        runner.test(
            test_module="check_tile",
            hdl_toplevel="tile",
            plusargs=[f"+{when}={step.path(when, 'sram')}" for when in ("before", "after")],
            extra_env={name: str(value) for name, value in told.items()} | {"PYTHONPATH": str(HERE)},
            test_dir=work,
            results_xml=str(work / f"{step.index}.xml"),
            log_file=log,
        )
    return row | (json.loads(found.read_text()) if found.exists() else {"failed": log.read_text()})


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        head = f"{row['index']:5} {row['name']:12} {row['layer'] or '':20}"
        if "reason" in row:
            print(f"{head} not replayed: {row['reason']}")
        elif "failed" in row:
            print(f"{head} failed:\n{row['failed']}")
        else:
            each = f", {row['cycles'] / row['steps']:.2f} cycles a step" if row["steps"] else ""
            equal = "all equal" if not row["unequal"] else f"{row['unequal']} UNEQUAL"
            print(f"{head} {row['results']} results, {equal} ({row['tiles']} of {row['of']} tiles{each})")


if __name__ == "__main__":
    sys.exit(main())
