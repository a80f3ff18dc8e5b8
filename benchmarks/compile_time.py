"""How long our compiler takes, beside TVM's own build of the same model in the same run, and how that grows with depth.

    python benchmarks/compile_time.py [--json] [--repeat N] [--skip-tvm] [MODEL ...]

`ours` is the compiler, from the lowered graph to the program, for the default machine (median of N); `tvm` is one `relay.build`
of the quantised network for the CPU (plain llvm). Both are seconds of processor time, since machines are shared. Growth: ResNet-18
to ResNet-152 at 3x224x224 (int8 graphs with random weights), where seconds per convolution must not grow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.models.resnets import DEPTHS, resnet_graph  # noqa: E402
from tests.models.topologies import TOPOLOGIES, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, pipeline  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402

LIMITS = {"resnet18": 2.0, "vgg16": 4.0, "mobilenet_v2": 3.0}  # seconds
MODELS = ("resnet18", "alexnet", "mobilenet_v2", "vgg16")


def median_seconds(graphs: list[Graph], repeat: int) -> float:
    """Of compiling all of them."""
    times = []
    for _ in range(repeat):
        started = time.process_time()
        for graph in graphs:
            compile_graph(graph)
        times.append(time.process_time() - started)
    return statistics.median(times)


def beside_tvm(name: str, repeat: int, skip_tvm: bool) -> dict[str, Any]:
    x = synthetic_images(4, 3, 224, seed=7)
    calibration = Dataset("synthetic", (3, 224, 224), None, len(x), lambda start, stop: x[start:stop])
    arch = Architecture()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(TOPOLOGIES[name](), calibration, arch))
    (result,) = pipeline.lower_for_each(mod, params, [arch])
    ours = median_seconds(list(result.graphs), repeat)
    row: dict[str, Any] = {"model": name, "ours": ours, "limit": LIMITS.get(name)}
    if not skip_tvm:
        started = time.process_time()
        pipeline.build_for_cpu(mod, params)
        row["tvm"] = time.process_time() - started
        row["ratio"] = ours / row["tvm"]
    return row


def growth(repeat: int) -> list[dict[str, Any]]:
    rows = []
    for depth in DEPTHS:
        graph = resnet_graph(depth)
        convolutions = sum(op.kind == "conv2d" for op in graph.ops)
        seconds = median_seconds([graph], repeat)
        rows.append(
            {"depth": depth, "convolutions": convolutions, "ours": seconds, "per_convolution": seconds / convolutions}
        )
        print(f"resnet{depth} done", file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]], title: str) -> Table:
    result = Table(title=title)
    for name in dict.fromkeys(name for row in rows for name in row):
        result.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        result.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value or "") for value in row.values()))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="compile time")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip-tvm", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.models if name not in MODELS]
    if unknown:
        parser.error(f"unknown model '{unknown[0]}'; known: {', '.join(MODELS)}")
    models = []
    for name in options.models or MODELS:
        models.append(beside_tvm(name, options.repeat, options.skip_tvm))
        print(f"{name} done", file=sys.stderr)
    depths = growth(options.repeat)
    if options.json:
        print(json.dumps({"models": models, "growth": depths}, indent=2))
    else:
        Console().print(table(models, "seconds, one network"), table(depths, "seconds, by depth"))
    return 1 if any(row["limit"] and row["ours"] > row["limit"] for row in models) else 0


if __name__ == "__main__":
    sys.exit(main())
