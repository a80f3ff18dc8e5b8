"""How fast the exact CPU reference is: one thread, an image, on each instruction set, beside TVM's loops for plain `llvm`.

    python benchmarks/exact_cpu.py [--json] [--repeat N] [--sets SET ...] [MODEL ...]

A model is a name (ResNet-18, VGG-16 and MobileNetV2 at 3x224x224 with random weights; EfficientNet-Lite0 is in RE2NA_DATA) or an
ONNX file, quantised or not. Both sides are built by the pipeline in this process and run in turns; the figures are medians in
seconds of processor time. Exit code 1 where a limit is missed or a bit differs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

os.environ["TVM_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.models.topologies import TOPOLOGIES, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, frontends, pipeline, processor  # noqa: E402

LIMITS = {
    "resnet18": 0.2,
    "vgg16": 0.2,
    "mobilenet_v2": 0.5,
    "efficientnet_lite0": 0.5,
}  # of the plain loops' time
FILES = {"efficientnet_lite0": "efficientnet_lite0_imagenet.onnx"}  # in RE2NA_DATA
BASE = "llvm"


def quantized(name: str) -> onnx.ModelProto:
    """The model, quantised on synthetic images if it is not yet."""
    if name in TOPOLOGIES:
        model = TOPOLOGIES[name]()
    else:
        path = Path(os.environ.get("RE2NA_DATA", ".")) / FILES[name] if name in FILES else Path(name)
        model = pipeline.load_model(path)
    channels, height, _ = pipeline.model_input(model).image
    x = synthetic_images(4, channels, height, seed=7)
    calibration = Dataset("synthetic", x.shape[1:], None, len(x), lambda start, stop: x[start:stop])
    return pipeline.quantized_model(model, calibration, Architecture())


def built(mod: Any, params: Any, instruction_set: str) -> tuple[Callable[..., Any], float]:
    """What runs the network, and how long it took to build."""
    plain = instruction_set == BASE
    os.environ["RE2NA_CPU"] = "" if plain else instruction_set
    started = time.process_time()
    result = frontends.session().build_for_cpu(mod, params, BASE if plain else None)
    return result.executor(), time.process_time() - started


def measure(name: str, sets: list[str], repeat: int) -> list[dict[str, Any]]:
    """A row for each instruction set."""
    model = quantized(name)
    channels, height, _ = pipeline.model_input(model).image
    image = synthetic_images(1, channels, height, seed=11)
    mod, params = pipeline.import_into_tvm(model)
    sides = {side: built(mod, params, side) for side in (BASE, *sets)}
    expected = sides[BASE][0](image)
    equal = {side: all(map(np.array_equal, run(image), expected)) for side, (run, _) in sides.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeat):
        for side, (run, _) in sides.items():
            started = time.process_time()
            run(image)
            times[side].append(time.process_time() - started)
    medians = {side: statistics.median(seconds) for side, seconds in times.items()}
    limit = next((limit for known, limit in LIMITS.items() if Path(name).stem.startswith(known)), None)
    return [
        {
            "model": Path(name).stem,
            "set": side,
            "build": sides[side][1],
            "image": medians[side],
            "ratio": medians[side] / medians[BASE],
            "limit": limit if side != BASE else None,
            "equal": equal[side],
        }
        for side in sides
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    result = Table(title=f"seconds of processor time, {frontends.installed()}")
    for name in rows[0]:
        result.add_column(name, justify="right")
    for row in rows:
        shown = (
            "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
            for value in row.values()
        )
        result.add_row(*shown)
    return result


def main() -> int:
    available = processor.instruction_sets()[1:]
    parser = argparse.ArgumentParser(description="the exact CPU")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"a file, or of {', '.join(LIMITS)} (default: all)")
    parser.add_argument("--sets", nargs="*", choices=available, default=available)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.models or LIMITS:
        rows += measure(name, options.sets, options.repeat)
        print(f"{name} done", file=sys.stderr)
    print(json.dumps(rows, indent=2)) if options.json else Console().print(table(rows))
    return 1 if any(not row["equal"] or (row["limit"] and row["ratio"] > row["limit"]) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
