"""Points an hour of `re2na explore` on a grid, against compiling each machine by itself.

    python benchmarks/exploring.py [--json] [--limit 3] [NETWORK ...]

Each network is lowered once. Then every machine of the grid is compiled for and timed by itself; then `explore` has the whole
grid in this process, which compiles once for all machines that run the same programs; then with `prune`, which leaves out whom
the bounds beat. Rows and fronts have to be equal. Figures are CPU seconds of one process. The exit status is 1 where one differs,
or where pruning is less than `--limit` times as fast as each by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import schedule  # noqa: E402
from tests.models.resnets import resnet_graph  # noqa: E402
from tvm_re2na import Architecture, Exploration, explore  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402
from tvm_re2na.exploration.point import compile_points  # noqa: E402
from tvm_re2na.exploration.sweep import make_grid  # noqa: E402
from tvm_re2na.parallel.parcel import Here  # noqa: E402

NETWORKS: dict[str, Callable[[], list[Graph]]] = {
    "lenet5": lambda: schedule.lowered("lenet5"),
    "resnet18": lambda: [resnet_graph(18)],
    "resnet50": lambda: [resnet_graph(50)],
    "mobilenet_v2": lambda: schedule.lowered("mobilenet_v2"),
}
KIB = 1024
GRID = {
    "sram_bytes": [512 * KIB, 768 * KIB, 1024 * KIB, 1536 * KIB, 2048 * KIB, 3072 * KIB, 4096 * KIB],
    "dram_bytes_per_cycle": [8, 16, 24, 64],
    "mac_interval": [5, 1],
    "array_shapes": ["none", "32x128"],
}
PRICED = GRID | {"array_shapes": ["none"], "clock_mhz": [100, 200, 400]}
GRIDS = {"machines": GRID, "machines at three clocks": PRICED}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def each_by_itself(graphs: list[Graph], grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """What is found of every machine, one after the other."""
    parcel = Here(tuple(graphs))
    return [compile_points(parcel, [point.arch])[0] for point in make_grid(grid, Architecture()) if point.arch]


def measure(name: str, title: str, graphs: list[Graph], grid: dict[str, list[Any]]) -> dict[str, Any]:
    alone, before = timed(lambda: each_by_itself(graphs, grid))
    whole, shared = timed(lambda: explore(graphs, grid, jobs=1))
    pruned, fast = timed(lambda: explore(graphs, grid, jobs=1, prune=True))
    points = len(whole.rows)
    return {
        "network": name,
        "grid": title,
        "points": points,
        "seconds": {"each by itself": before, "explore": shared, "explore, pruned": fast},
        "points_per_hour": {"each by itself": 3600 * points / before, "explore, pruned": 3600 * points / fast},
        "ratio": before / shared,
        "ratio_pruned": before / fast,
        "left_out": sum(row["pruned"] for row in pruned.rows),
        "front": len(front(whole)),
        "equal": _figures(alone) == _cycles(whole) and front(whole) == front(pruned),
    }


def front(found: Exploration) -> list[dict[str, Any]]:
    return [row for row in found.rows if row["pareto"]]


def _figures(outcomes: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(outcome["figures"].get("cycles"), outcome["figures"].get("energy_uj")) for outcome in outcomes]


def _cycles(found: Exploration) -> list[tuple[Any, Any]]:
    return [(row["cycles"], row["energy_uj"]) for row in found.rows if row["area_mm2"] is not None]


def table(rows: list[dict[str, Any]]) -> Table:
    result = Table(title="CPU seconds for a grid, one process")
    names = (
        "network",
        "grid",
        "points",
        "on the front",
        "each by itself",
        "explore",
        "pruned",
        "left out",
        "points/h",
        "ratio",
    )
    for name in (*names, "pruned"):
        result.add_column(name, justify="left" if name in ("network", "grid") else "right")
    for row in rows:
        seconds = [f"{value:.1f}" for value in row["seconds"].values()]
        result.add_row(
            row["network"],
            row["grid"],
            str(row["points"]),
            str(row["front"]),
            *seconds,
            str(row["left_out"]),
            f"{row['points_per_hour']['explore, pruned']:,.0f}",
            f"{row['ratio']:.1f}",
            f"{row['ratio_pruned']:.1f}",
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="points an hour")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)} (default: resnet18)")
    parser.add_argument("--limit", type=float, default=3.0, help="the least ratio with pruning")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.networks:
        if name not in NETWORKS:
            parser.error(f"unknown network '{name}'; known: {', '.join(NETWORKS)}")
    rows = []
    for name in options.networks or ["resnet18"]:
        graphs = NETWORKS[name]()
        rows += [measure(name, title, graphs, grid) for title, grid in GRIDS.items()]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(rows))
    bad = [row for row in rows if not row["equal"] or row["ratio_pruned"] < options.limit]
    for row in bad:
        told = "rows or fronts differ" if not row["equal"] else f"{row['ratio_pruned']:.2f} times as fast"
        print(f"missed: {row['network']}, {row['grid']}: {told}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
