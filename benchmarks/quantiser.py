"""What quantising costs: the descent over integer weights beside the textbook's, and whole `re2na quantize` runs against limits.

    [RE2NA_DATA=folder] python benchmarks/quantiser.py [--repeat N] [--json]

Seconds are of processor time, of all threads, since machines are shared; medians of N. The textbook's descent is NumPy's: one
weight of all outputs after the other, and the whole gradient after each. Both begin from the same weights, and must end at the
same error. Whole runs, with the models and images of RE2NA_DATA, are processes of their own, start-up included. Exit status 1 where
a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tvm_re2na.quantize.rounding import SWEEPS
from tvm_re2na.runtime.descent import descend

Floats = npt.NDArray[np.float32]
INT8 = (-128, 127)
SHAPES = {  # groups, outputs, inputs
    "3x3, 64 to 64": (1, 64, 576),
    "3x3, 128 to 128": (1, 128, 1152),
    "1x1, 1152 to 192": (1, 192, 1152),
    "3x3, 256 to 256": (1, 256, 2304),
    "5x5 depthwise, 672": (672, 1, 25),
}
LARGEST_RATIO = 0.5
# groups of one output: the textbook's steps take all groups at once there, and little is left to gain
LARGEST_RATIO_OF_ONE = 0.7
SAME_ERROR = 1e-3  # relative: sums in another order round a few weights, of no consequence, the other way
RUNS = {  # model: calibration, seconds, MiB; the memory is what it took when nearly all the time was the descent's
    "resnet18_fmnist64": ("fmnist64_calib512.npz", 20.0, 832.0),
    "efficientnet_lite0_imagenet": ("photos224.npz", 40.0, 1122.0),
}


def textbook(gram: Floats, left: Floats, weight: Floats) -> None:
    """As tvm_re2na.runtime.descent.descend, within int8."""
    for _ in range(SWEEPS):
        for i in range(weight.shape[2]):
            best = np.clip(np.rint(weight[:, :, i] + left[:, :, i] / gram[:, i, i, None]), *INT8)
            change = best - weight[:, :, i]
            weight[:, :, i] = best
            left -= change[:, :, None] * gram[:, None, i]


def problem(groups: int, outputs: int, inputs: int) -> tuple[Floats, Floats, Floats]:
    """Gram matrix, gradient and nearest weights of correlated inputs that are not negative, as those behind a ReLU are."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(groups, 2048 if groups == 1 else 256, inputs)).astype(np.float32)
    rows = np.maximum(rows + np.roll(rows, 1, axis=2) + np.roll(rows, 2, axis=2), 0)
    rows -= rows.mean(1, keepdims=True)
    gram = rows.transpose(0, 2, 1) @ rows
    gram[:, range(inputs), range(inputs)] += 0.01 * np.einsum("gkk->gk", gram).mean(1, keepdims=True)
    wanted = rng.normal(0, 20, (groups, outputs, inputs)).astype(np.float32)
    weight = np.clip(np.rint(wanted), *INT8)
    return gram, (wanted - weight) @ gram, weight


def beside_the_textbook(name: str, repeat: int) -> dict[str, Any]:
    gram, left, weight = problem(*SHAPES[name])
    seconds: dict[str, list[float]] = {"textbook": [], "ours": []}
    errors = {}
    for _ in range(repeat):
        for label in seconds:
            rest, found = left.copy(), weight.copy()
            started = time.process_time()
            if label == "ours":
                descend(gram, rest, found, INT8, SWEEPS)
            else:
                textbook(gram, rest, found)
            seconds[label].append(time.process_time() - started)
            errors[label] = _error(gram, left, found - weight)
    medians = {label: statistics.median(times) for label, times in seconds.items()}
    ratio, limit = (
        medians["ours"] / medians["textbook"],
        LARGEST_RATIO if SHAPES[name][0] == 1 else LARGEST_RATIO_OF_ONE,
    )
    same = errors["ours"] <= errors["textbook"] + SAME_ERROR * abs(errors["textbook"])
    return {"layer": name, **medians, "ratio": ratio, "limit": limit, "good": ratio <= limit and same}


def _error(gram: Floats, left: Floats, moved: Floats) -> float:
    """What the squared error has changed by, halved: less than 0."""
    moves = moved.astype(np.float64)
    return float((moves * (0.5 * (moves @ gram.astype(np.float64)) - left)).sum())


def whole(model: str, folder: Path, repeat: int) -> dict[str, Any]:
    calibration, limit, limit_mib = RUNS[model]
    seconds, memory = [], []
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "tvm_re2na.cli",
            "quantize",
            str(folder / f"{model}.onnx"),
            "--json",
            "--no-cache",
        ]
        command += ["--calibration", str(folder / calibration), "--output", str(Path(scratch) / "int8.onnx")]
        for _ in range(repeat):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
            seconds.append(usage.ru_utime + usage.ru_stime)
            memory.append(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
    middle, mib = statistics.median(seconds), statistics.median(memory)
    good = middle <= limit and mib <= limit_mib
    return {"model": model, "seconds": middle, "limit": limit, "MiB": mib, "MiB limit": limit_mib, "good": good}


def table(rows: list[dict[str, Any]], title: str) -> Table:
    result = Table(title=title, title_justify="left")
    for name in rows[0]:
        result.add_column(name, justify="left" if name in ("layer", "model") else "right")
    for row in rows:
        cells = (f"{value:.3g}" if isinstance(value, float) and value < 100 else value for value in row.values())
        result.add_row(*(f"{cell:.0f}" if isinstance(cell, float) else str(cell) for cell in cells))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="what quantising costs")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with threadpool_limits(1, "blas"):
        layers = [beside_the_textbook(name, options.repeat) for name in SHAPES]
    data = os.environ.get("RE2NA_DATA")
    models = [whole(model, Path(data), options.repeat) for model in RUNS] if data else []
    if options.json:
        print(json.dumps({"layers": layers, "models": models}, indent=2))
    else:
        Console().print(table(layers, "the descent, CPU seconds"))
        if models:
            Console().print(table(models, "re2na quantize, CPU seconds and peak memory"))
    return 0 if all(row["good"] for row in [*layers, *models]) else 1


if __name__ == "__main__":
    sys.exit(main())
