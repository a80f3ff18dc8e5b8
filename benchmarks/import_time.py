"""How long a quantised network takes on its way to the compiler, and how that grows: import and partition, beside TVM's importer.

    python benchmarks/import_time.py [--json] [--skip-tvm] [--skip-compile] [--repeat N]

Chains of 25 to 150 convolutions (3x3, 16 channels, QDQ) are imported and partitioned; `tvm import` is TVM's own of the same file in
the same process. Then `re2na compile` of a quantised ResNet-18 at 3x224x224 (random weights), as a process of its own. All are
seconds of processor time, medians of N. Exit code 1 where the longest chain or the command takes longer than its limit, or where
a convolution of the longest chain takes more than 1.5 times as long as one of the shortest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.frontends.qdq import QdqBuilder, biases, small_weights  # noqa: E402
from tests.models.topologies import resnet18, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, frontends, partition_for_re2na, pipeline  # noqa: E402

LENGTHS = (25, 50, 100, 150)
CHAIN_LIMIT = 10.0  # seconds, of the longest chain
GROWTH_LIMIT = 1.5
COMPILE_LIMITS = {"relay": 4.0, "relax": 3.0}
SHAPE = (1, 16, 8, 8)


def chain(length: int) -> onnx.ModelProto:
    """As many convolutions with a ReLU each."""
    rng = np.random.default_rng(0)
    builder = QdqBuilder(SHAPE)
    for _ in range(length):
        builder.conv(small_weights(rng, 16, 16, 3, 3), biases(rng, 16), pads=[1, 1, 1, 1], quantise=False)
        builder.relu(-4)
    return onnx.shape_inference.infer_shapes(builder.build())


def seconds(job: Callable[[], Any], repeat: int = 1) -> float:
    """Of processor time."""
    times = []
    for _ in range(repeat):
        started = time.process_time()
        job()
        times.append(time.process_time() - started)
    return statistics.median(times)


def import_with_tvm(model: onnx.ModelProto) -> None:
    if frontends.installed() == "relay":
        from tvm import relay

        relay.frontend.from_onnx(model, shape={"input": SHAPE}, freeze_params=True)
    else:
        from tvm.relax.frontend.onnx import from_onnx

        from_onnx(model, shape_dict={"input": list(SHAPE)}, keep_params_in_input=False)


def measure_chain(length: int, repeat: int, skip_tvm: bool) -> dict[str, Any]:
    model = chain(length)
    imported = pipeline.import_into_tvm(model)
    row: dict[str, Any] = {"convolutions": length}
    row["import"] = seconds(lambda: pipeline.import_into_tvm(model), repeat)
    row["partition"] = seconds(lambda: partition_for_re2na(*imported), repeat)
    row["both"] = row["import"] + row["partition"]
    row["per_convolution"] = row["both"] / length
    if not skip_tvm:
        row["tvm_import"] = seconds(lambda: import_with_tvm(model))
        row["ratio"] = row["import"] / row["tvm_import"]
    print(f"{length} convolutions done", file=sys.stderr)
    return row


def measure_compile(repeat: int) -> dict[str, Any]:
    """`re2na compile`, start of Python included."""
    images = synthetic_images(4, 3, 224, seed=7)
    calibration = Dataset("synthetic", (3, 224, 224), None, len(images), lambda start, stop: images[start:stop])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet18.int8.onnx"
        onnx.save(pipeline.quantized_model(resnet18(), calibration, Architecture()), path)
        command = [sys.executable, "-m", "tvm_re2na.cli", "compile", str(path), "-o", str(path.with_suffix(".re2na"))]
        times = [_seconds_of(command) for _ in range(repeat)]
    return {
        "model": "resnet18",
        "compile": statistics.median(times),
        "limit": COMPILE_LIMITS[str(frontends.installed())],
    }


def _seconds_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "TVM_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(rows: list[dict[str, Any]], title: str) -> Table:
    result = Table(title=title)
    for name in rows[0]:
        result.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        result.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="time of import, partition and `re2na compile`")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip-tvm", action="store_true")
    parser.add_argument("--skip-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import_with_tvm(chain(1))  # loads what is loaded once
    chains = [measure_chain(length, options.repeat, options.skip_tvm) for length in LENGTHS]
    compiled = [] if options.skip_compile else [measure_compile(options.repeat)]
    growth = chains[-1]["per_convolution"] / chains[0]["per_convolution"]
    result = {"front_end": frontends.installed(), "chains": chains, "growth": growth, "compile": compiled}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        title = f"{frontends.installed()}: seconds; a convolution of the last takes {growth:.2f} times one of the first"
        Console().print(table(chains, title), *(table([row], "seconds, the command") for row in compiled))
    missed = chains[-1]["both"] > CHAIN_LIMIT or growth > GROWTH_LIMIT
    return 1 if missed or any(row["compile"] > row["limit"] for row in compiled) else 0


if __name__ == "__main__":
    sys.exit(main())
