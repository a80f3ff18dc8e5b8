"""Full-size networks: compile each ONNX file of a folder, run one image, and compare every output bit with TVM's CPU.

    python tests/models/topologies.py FOLDER          # ResNet-18, AlexNet, VGG-16, MobileNetV2 at 3x224x224, random weights
    python benchmarks/full_size.py FOLDER [--json]

Calibration and test images are synthetic, or those of --data.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tvm_re2na import Architecture, Dataset, cache, load_dataset, pipeline
from tvm_re2na.relay import explain
from tvm_re2na.runtime import library

CALIBRATION_IMAGES = 8


def synthetic(shape: tuple[int, int, int]) -> Dataset:
    """Smooth random images, seeded."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.models.topologies import synthetic_images

    x = synthetic_images(CALIBRATION_IMAGES + 1, shape[0], shape[1], seed=7)
    return Dataset("synthetic", shape, None, len(x), lambda start, stop: x[start:stop])


def measure(path: Path, data: Path | None, arch: Architecture) -> dict[str, Any]:
    """Compile and run one model."""
    model = pipeline.load_model(path)
    images = load_dataset(data) if data else synthetic(pipeline.model_input(model).image)
    calibration = Dataset(images.source, images.shape, None, CALIBRATION_IMAGES, images.read)
    started = time.perf_counter()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, calibration, arch))
    quantized = time.perf_counter()
    re2na = pipeline.build_for_re2na(mod, params, arch)
    compiled = time.perf_counter()
    image = images.read(len(images) - 1, len(images))
    run = re2na.executor()
    library.bridge_reset()
    simulating = time.perf_counter()
    outputs = run(image)
    simulated = time.perf_counter()
    totals = library.bridge_totals()
    reference = pipeline.build_for_cpu(mod, params).executor()(image)
    return {
        "model": path.stem,
        "bit_identical": all(np.array_equal(a, b) for a, b in zip(reference, outputs, strict=True)),
        "on_cpu": [f"{row.name} ({row.op})" for row in explain(mod, params, arch=arch) if not row.offloaded],
        "offloaded_macs_share": re2na.offloaded_macs_share,
        "overflows": totals["overflows"],
        "cycles": totals["cycles"],
        "utilisation": totals["macs"] / max(totals["cycles"] * arch.peak_macs_per_cycle, 1),
        "dram_bytes": totals["dram_bytes"],
        "quantize_seconds": quantized - started,
        "compile_seconds": compiled - quantized,
        "simulate_seconds": simulated - simulating,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="compile and run full-size networks")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="an .npz file with images for calibration and the run")
    parser.add_argument("--arch", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    arch = Architecture.from_toml(options.arch) if options.arch else Architecture()
    rows = []
    for path in sorted(options.folder.glob("*.onnx")):
        with cache.off():
            rows.append(measure(path, options.data, arch))
        print(f"{path.stem} done", file=sys.stderr)
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        Console().print(table(rows))


def table(rows: list[dict[str, Any]]) -> Table:
    result = Table()
    for name in rows[0] if rows else ():
        result.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        result.add_row(*(f"{value:,.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    return result


if __name__ == "__main__":
    main()
