"""Fine-tuning LeNet-5 at 3 and 2 bits on 512 images, against its limits, on all 10,000 test images.

    RE2NA_DATA=folder python benchmarks/fine_tuning.py [--bits 3 2] [--seeds 0 1] [--json]

Everything has the width: input, weights, activations, result. The tuned model is exported and run on the Re²Na simulator, on TVM's
CPU and in PyTorch; exit status 1 where accuracy misses its limit, a sum overflows, or a bit differs. About 3 minutes a run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from rich.console import Console
from rich.table import Table

from tvm_re2na import pipeline
from tvm_re2na.cli.output import progress_bar
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.survey.measure import SurveyedModel, open_surveyed_model
from tvm_re2na.torch import Augment, convert, export, fine_tune
from tvm_re2na.tutorials.lenet5_torch import trained

LIMITS = {3: 1.0, 2: 3.0}  # points of top-1 that may be lost
STEPS = {3: 3000, 2: 3000}


@dataclass(frozen=True)
class Row:
    bits: int
    seed: int
    top1_float: float
    post_training: float
    top1: float
    change: float
    limit: float
    overflows: int
    torch_equal: bool
    cpu_equal: bool
    seconds: float

    @property
    def good(self) -> bool:
        return self.change >= -self.limit and not self.overflows and self.torch_equal and self.cpu_equal


def measure(surveyed: SurveyedModel, teacher: torch.nn.Module, bits: int, seed: int) -> Row:
    arch, known = Architecture(data_bits=bits), surveyed.calibration.x
    before, _ = surveyed.on_re2na(surveyed.quantize(arch).model, arch, f"{bits} bits, post-training")
    started = time.perf_counter()
    model = convert(teacher, known, arch=arch, weights="float")
    augment = Augment(fill=float(known.min()))
    images = torch.from_numpy(known)
    fine_tune(model, images, teacher, steps=STEPS[bits], seed=seed, augment=augment, progress=surveyed.progress)
    seconds = time.perf_counter() - started
    quantized = export(model, surveyed.images.shape)
    outputs, overflows = surveyed.on_re2na(quantized, arch, f"{bits} bits: Re²Na")
    with torch.no_grad():
        emulated = model(torch.from_numpy(surveyed.images.x)).numpy()
    cpu = pipeline.build_for_cpu(*pipeline.import_into_tvm(quantized, surveyed.batch)).executor()
    on_cpu = np.concatenate(
        [np.array(cpu(images)[0][:count]) for count, images in surveyed.images.batches(surveyed.batch)]
    )
    top1, top1_float = surveyed.share(outputs) or 0.0, surveyed.top1 or 0.0
    return Row(
        bits,
        seed,
        top1_float,
        surveyed.share(before) or 0.0,
        top1,
        round(100 * (top1 - top1_float), 3),
        LIMITS[bits],
        overflows,
        bool((outputs == emulated).all()),
        bool((outputs == on_cpu).all()),
        round(seconds, 1),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="fine-tuning at few bits against its limits")
    parser.add_argument("--bits", type=int, nargs="*", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    torch.set_num_threads(1)
    folder = Path(os.environ["RE2NA_DATA"])
    model = folder / "lenet5_mnist.onnx"
    with progress_bar() as progress:
        data = load_dataset(folder / "mnist_test.npz"), load_dataset(folder / "mnist_calib512.npz")
        surveyed = open_surveyed_model(onnx.load(model), *data, progress)
        rows = [measure(surveyed, trained(model), bits, seed) for bits in options.bits for seed in options.seeds]
    if options.json:
        print(json.dumps([asdict(row) | {"good": row.good} for row in rows], indent=2))
    else:
        Console(width=120).print(table(rows))
    return 0 if all(row.good for row in rows) else 1


def table(rows: list[Row]) -> Table:
    result = Table(title="LeNet-5, fine-tuned on 512 images; top-1 of 10,000", title_justify="left")
    names = (
        "bits",
        "seed",
        "float",
        "post-training",
        "fine-tuned",
        "change",
        "limit",
        "overflows",
        "= PyTorch",
        "= CPU",
        "s",
    )
    for name in names:
        result.add_column(name, justify="right")
    for row in rows:
        shares = [f"{value:.4f}" for value in (row.top1_float, row.post_training, row.top1)]
        changes = f"{row.change:+.2f}", f"-{row.limit:.2f}", str(row.overflows)
        equal = ["yes" if value else "NO" for value in (row.torch_equal, row.cpu_equal)]
        style = None if row.good else "red"
        result.add_row(str(row.bits), str(row.seed), *shares, *changes, *equal, f"{row.seconds:.0f}", style=style)
    return result


if __name__ == "__main__":
    sys.exit(main())
