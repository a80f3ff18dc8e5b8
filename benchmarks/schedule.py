"""How near the compiler comes to what no schedule can beat: DRAM bytes over the compulsory ones, cycles over the bound.

    python benchmarks/schedule.py [--json] [--losses N] [--mac-interval 5 1] [--check-hazards] [MODEL ...]

Each network (random weights, 3x224x224 unless its name says otherwise; LeNet-5 is the trained one of the demo) is quantised and
lowered once, then compiled for the default machine with each `mac_interval`. A limit that is missed is marked, and the exit
status is 1. `vgg16_features` are its convolutions alone, `vgg16_pruned` the same with 70 % of the k-steps of each block of 64
outputs zero.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.models.pruning import prune_convolutions  # noqa: E402
from tests.models.topologies import TOPOLOGIES, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, pipeline  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402
from tvm_re2na.codegen.isa import duration_parts  # noqa: E402
from tvm_re2na.codegen.program import Program  # noqa: E402
from tvm_re2na.runtime import hazards  # noqa: E402
from tvm_re2na.runtime.report import compile_report  # noqa: E402

CALIBRATION_IMAGES = 4
PRUNED_SHARE = 0.7
MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "lenet5": lambda: pipeline.load_model(ROOT / "tvm_re2na" / "demo" / "lenet5_mnist.onnx"),
    "resnet18": TOPOLOGIES["resnet18"],
    "resnet18_512": lambda: TOPOLOGIES["resnet18"](512),
    "alexnet": TOPOLOGIES["alexnet"],
    "mobilenet_v2": TOPOLOGIES["mobilenet_v2"],
    "vgg16_features": TOPOLOGIES["vgg16_features"],
    "vgg16_pruned": lambda: prune_convolutions(TOPOLOGIES["vgg16_features"](), PRUNED_SHARE),
    "vgg16": TOPOLOGIES["vgg16"],
}
# the most that a ratio to the bound may be
TRAFFIC_LIMITS = {
    "lenet5": 1.0,
    "resnet18": 1.02,
    "alexnet": 1.02,
    "mobilenet_v2": 1.05,
    "vgg16_features": 1.10,
    "vgg16": 1.01,
}
CYCLE_LIMITS = {"resnet18": 1.05, "alexnet": 1.05, "mobilenet_v2": 1.15, "vgg16": 1.05}
COLUMNS = (
    *("model", "mac interval", "cycles", "bound", "ratio", "DRAM bytes", "compulsory", "ratio"),
    *("MAC cycles", "compile s"),
)
LEAST_FALL = 0.65  # of the MAC cycles of vgg16_pruned, against vgg16_features
PIPELINED_RESNET18 = (700_000, 12_070_000)  # cycles and DRAM bytes with mac_interval 1


def lowered(name: str) -> list[Graph]:
    """The offloaded regions of one of MODELS; everything must be offloaded."""
    return lowered_model(name, MODELS[name]())


def lowered_model(name: str, model: onnx.ModelProto) -> list[Graph]:
    """Those of any network with one image for an input, as it is quantised, or quantised here."""
    image = pipeline.model_input(model).image
    x = synthetic_images(CALIBRATION_IMAGES, image[0], image[1], seed=7)
    calibration = Dataset("synthetic", image, None, len(x), lambda start, stop: x[start:stop])
    arch = Architecture()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, calibration, arch))
    (result,) = pipeline.lower_for_each(mod, params, [arch])
    if result.offloaded_macs_share != 1.0:
        sys.exit(f"{name}: only {result.offloaded_macs_share:.1%} of the MACs are offloaded")
    return list(result.graphs)


def mac_cycles(program: Program) -> int:
    """Cycles of the multiply part of all instructions."""
    multiplying = [at for at in program.instructions if at.name in ("CONV", "DENSE")]
    return sum(duration_parts(program.arch, at.name, at.values)["mac"] for at in multiplying)


def measure(name: str, graphs: list[Graph], arch: Architecture, check_hazards: bool) -> dict[str, Any]:
    started = time.perf_counter()
    programs = [compile_graph(graph, arch) for graph in graphs]
    seconds = time.perf_counter() - started
    if check_hazards:
        for program in programs:
            hazards.check(program)
    report = compile_report(programs)
    total = report["total"]
    return {
        "model": name,
        "mac_interval": arch.mac_interval,
        "cycles": total["cycles"],
        "cycles_bound": total["cycles_bound"],
        "cycles_ratio": total["cycles"] / total["cycles_bound"],
        "dram_bytes": total["dram_bytes"],
        "dram_bytes_compulsory": total["dram_bytes_compulsory"],
        "dram_ratio": total["dram_bytes"] / total["dram_bytes_compulsory"],
        "mac_cycles": sum(mac_cycles(program) for program in programs),
        "sram_peak_bytes": total["sram_peak_bytes"],
        "sram_bound_bytes": total["sram_bound_bytes"],
        "compile_seconds": round(seconds, 2),
        "losses": [
            {"layer": layer["name"], "cycles": layer["loss_cycles"], "why": layer["loss"]}
            for layer in sorted(report["layers"], key=lambda layer: -layer["loss_cycles"])
            if layer["loss_cycles"]
        ],
    }


def misses(rows: list[dict[str, Any]]) -> list[str]:
    """Every limit that a row misses, in words."""
    found = []
    for row in rows:
        name = f"{row['model']} (mac_interval {row['mac_interval']})"
        for key, limits in (("dram_ratio", TRAFFIC_LIMITS), ("cycles_ratio", CYCLE_LIMITS)):
            limit = limits.get(row["model"])
            if limit is not None and row[key] > limit:
                found.append(f"{name}: {key} {row[key]:.4f} is above {limit}")
        cycles, size = PIPELINED_RESNET18
        if (
            row["model"] == "resnet18"
            and row["mac_interval"] == 1
            and (row["cycles"] > cycles or row["dram_bytes"] > size)
        ):
            found.append(
                f"{name}: {row['cycles']:,} cycles and {row['dram_bytes']:,} bytes, at most {cycles:,} and {size:,}"
            )
    by_name = {(row["model"], row["mac_interval"]): row["mac_cycles"] for row in rows}
    for (name, interval), pruned in by_name.items():
        whole = by_name.get(("vgg16_features", interval))
        if name == "vgg16_pruned" and whole and 1 - pruned / whole < LEAST_FALL:
            found.append(f"vgg16_pruned: MAC cycles fall by {1 - pruned / whole:.1%}, not {LEAST_FALL:.0%}")
    return found


def table(rows: list[dict[str, Any]], losses: int) -> Table:
    result = Table(title="against what no schedule can beat")
    for name in COLUMNS:
        result.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    result.add_column(f"what loses most ({losses})", overflow="fold")
    for row in rows:
        why = "; ".join(f"{loss['layer']} {loss['cycles']:,}: {loss['why']}" for loss in row["losses"][:losses])
        result.add_row(
            row["model"],
            str(row["mac_interval"]),
            f"{row['cycles']:,}",
            f"{row['cycles_bound']:,}",
            f"{row['cycles_ratio']:.4f}",
            f"{row['dram_bytes']:,}",
            f"{row['dram_bytes_compulsory']:,}",
            f"{row['dram_ratio']:.4f}",
            f"{row['mac_cycles']:,}",
            f"{row['compile_seconds']:.2f}",
            why,
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="schedules against their bounds")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--mac-interval", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--losses", type=int, default=2, help="layers that lose most, in the table")
    parser.add_argument("--check-hazards", action="store_true", help="prove each program's tokens as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.models if name not in MODELS]
    if unknown:
        parser.error(f"unknown model '{unknown[0]}'; known: {', '.join(MODELS)}")
    rows = []
    for name in options.models or MODELS:
        print(f"{name} ...", file=sys.stderr)
        graphs = lowered(name)
        for interval in options.mac_interval:
            rows.append(measure(name, graphs, Architecture(mac_interval=interval), options.check_hazards))
    missed = misses(rows)
    if options.json:
        print(json.dumps({"rows": rows, "missed": missed}, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(table(rows, options.losses))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
