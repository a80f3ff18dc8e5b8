"""Accuracy of the trained models on their full test sets: float, int8 on the CPU, Re²Na.

    RE2NA_DATA=folder python benchmarks/accuracy.py [--limit N] [--batch N] [--json] [lenet5 resnet18 alexnet]

Most of the time goes into TVM on plain llvm, whose exact integer kernels are what Re²Na is compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from tvm_re2na import cache
from tvm_re2na.cli.output import progress_bar
from tvm_re2na.cli.render import comparison_table
from tvm_re2na.evaluate import compare

MODELS = {
    "lenet5": ("lenet5_mnist.onnx", "mnist_test.npz", "mnist_calib512.npz"),
    "resnet18": ("resnet18_fmnist64.onnx", "fmnist64_test.npz", "fmnist64_calib512.npz"),
    "alexnet": ("alexnet_fmnist64.onnx", "fmnist64_test.npz", "fmnist64_calib512.npz"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="accuracy on the full test sets")
    parser.add_argument("models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    folder, results = Path(os.environ["RE2NA_DATA"]), {}
    for name in options.models:
        model, data, calibration = (folder / file for file in MODELS[name])
        started = time.perf_counter()
        with cache.off(), progress_bar() as progress:
            result = compare(model, data, calibration, limit=options.limit, batch=options.batch, progress=progress)
        results[name] = {**result.to_json(), "seconds": round(time.perf_counter() - started, 1)}
        if not options.json:
            Console().print(comparison_table(result, f"{name} ({result.images:,} images)"))
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
