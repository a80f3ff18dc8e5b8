"""Slow int64 loops in the manner of PyParch against the simulator, on LeNet-5: time per image, both in one run, the same bits.

    RE2NA_DATA=folder python benchmarks/pyparch_loops.py [--images N] [--repeats N] [--json]

Two forms of loops over int64 tensors, both written here from what PyParch is known to do. "multiplication": one Python step per
multiply-add, as the hardware's accumulator sees them, carry bits watched. "output": one small tensor product per output, the form
of PyParch's public layers, carry bits watched as well. Without RE2NA_DATA the demo's model and images are used. Exit status 1 where
a result differs from the simulator's, or where the simulator is less than 10,000 times as fast as the loops over multiplications.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.quantize import quantize
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.torch import QConv2d, QInput, QLinear, from_onnx

LIMIT = 10_000
BATCH = 100
PRODUCT_LIMIT = 1 << 14  # what one product of two int8 numbers reaches


def lenet5(model: torch.fx.GraphModule, image: Tensor, output: Callable[[Tensor, Tensor], int]) -> Tensor:
    """The logits' integers of one image, layer by layer; `output` sums the products of two int64 tensors."""
    layers = [module for module in model.children() if isinstance(module, QConv2d | QLinear)]
    x = image.long()
    for layer in layers[:2]:
        x = pooled(torch.clamp(convolution(layer, x, output), min=0))
    x = x.flatten()
    for layer in layers[2:]:
        x = dense(layer, x, output)
        x = x if layer is layers[-1] else torch.clamp(x, min=0)
    return x


def convolution(layer: QConv2d, x: Tensor, output: Callable[[Tensor, Tensor], int]) -> Tensor:
    weight, bias = (values.detach().long() for values in layer.integers())
    top, left, bottom, right = layer.pads
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    rows, columns = weight.shape[2:]
    height, width = padded.shape[1] - rows + 1, padded.shape[2] - columns + 1
    result = torch.zeros(len(weight), height, width, dtype=torch.int64)
    for channel in range(len(weight)):
        for i in range(height):
            for j in range(width):
                sums = output(padded[:, i : i + rows, j : j + columns], weight[channel]) + int(bias[channel])
                result[channel, i, j] = cut(sums, layer.lsb)
    return result


def dense(layer: QLinear, x: Tensor, output: Callable[[Tensor, Tensor], int]) -> Tensor:
    weight, bias = (values.detach().long() for values in layer.integers())
    result = torch.zeros(len(weight), dtype=torch.int64)
    for row in range(len(weight)):
        result[row] = cut(output(x, weight[row]) + int(bias[row]), layer.lsb)
    return result


def pooled(x: Tensor) -> Tensor:
    channels, height, width = x.shape
    result = torch.zeros(channels, height // 2, width // 2, dtype=torch.int64)
    for channel in range(channels):
        for i in range(height // 2):
            for j in range(width // 2):
                result[channel, i, j] = x[channel, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max()
    return result


def cut(sums: int, lsb: int) -> int:
    """One half is added, the bits are cut off, the rest saturates."""
    return max(-128, min(127, (sums + (1 << (lsb - 1) if lsb else 0)) >> lsb))


class Loops:
    """The two forms; `carry` is how often a running sum left the width of one product."""

    def __init__(self) -> None:
        self.carry = 0

    def by_multiplication(self, x: Tensor, weight: Tensor) -> int:
        total = torch.zeros((), dtype=torch.int64)
        for a, b in zip(x.flatten(), weight.flatten(), strict=True):
            total += a * b
            self.carry += bool(total.abs() >= PRODUCT_LIMIT)
        return int(total)

    def by_output(self, x: Tensor, weight: Tensor) -> int:
        products = x * weight
        zero = torch.zeros_like(products)
        for part in (torch.where(products > 0, products, zero), torch.where(products < 0, products, zero)):
            self.carry += bool(part.sum().abs() >= PRODUCT_LIMIT)
        return int(products.sum())


def main() -> int:
    parser = argparse.ArgumentParser(description="int64 loops against the simulator")
    parser.add_argument("--images", type=int, default=2, help="images that the loops work through (2)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of the simulator, of which the median counts (9)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model_path, data_path, known_path = files()
    arch = Architecture()
    known, data = load_dataset(known_path), load_dataset(data_path, BATCH)
    model = quantize(onnx.load(model_path), known.x, arch=arch).model
    emulated = from_onnx(model, arch=arch)
    quantiser = next(module for module in emulated.children() if isinstance(module, QInput))
    integers = torch.round(quantiser(torch.from_numpy(data.x)) * 2.0 ** -(quantiser.exponent or 0)).to(torch.int8)
    results, simulated = simulate(model, arch, integers.numpy(), options.repeats)
    rows = []
    for name in ("by_multiplication", "by_output"):
        started = time.perf_counter()
        loops = Loops()
        logits = [lenet5(emulated, integers[i], getattr(loops, name)) for i in range(options.images)]
        seconds = (time.perf_counter() - started) / options.images
        equal = bool((torch.stack(logits).numpy() == results[: options.images]).all())
        rows.append({"loops": name, "ms": 1e3 * seconds, "ratio": seconds / simulated, "equal": equal})
    report(rows, simulated, options.json)
    return 0 if all(row["equal"] for row in rows) and rows[0]["ratio"] >= LIMIT else 1


def simulate(
    model: onnx.ModelProto, arch: Architecture, integers: np.ndarray, repeats: int
) -> tuple[np.ndarray, float]:
    """The simulator's int8 results for a batch, and its median time per image."""
    built = pipeline.build_for_re2na(*pipeline.import_into_tvm(model, len(integers)), arch)
    ((_, program),) = built.programs
    simulator, times = Simulator(program), []
    for _ in range(repeats):
        started = time.perf_counter()
        run = simulator.run([integers])
        times.append((time.perf_counter() - started) / len(integers))
    return run.outputs[0].reshape(len(integers), -1), statistics.median(times)


def files() -> tuple[Path, Path, Path]:
    if "RE2NA_DATA" in os.environ:
        folder = Path(os.environ["RE2NA_DATA"])
        return folder / "lenet5_mnist.onnx", folder / "mnist_test.npz", folder / "mnist_calib512.npz"
    demo = Path(str(resources.files("tvm_re2na") / "demo"))
    return demo / "lenet5_mnist.onnx", demo / "mnist_test1000.npz", demo / "mnist_calibration128.npz"


def report(rows: list[dict[str, object]], simulated: float, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"simulator_ms": 1e3 * simulated, "rows": rows}, indent=2))
        return
    table = Table(
        title=f"LeNet-5, one image: simulator {1e3 * simulated:.4f} ms (batch of {BATCH})", title_justify="left"
    )
    for name in ("int64 loops", "ms", "ratio", "same integers"):
        table.add_column(name, justify="right")
    for row in rows:
        shown = f"{row['ms']:,.0f}", f"{row['ratio']:,.0f}", "yes" if row["equal"] else "NO"
        table.add_row(str(row["loops"]).replace("_", " "), *shown)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
