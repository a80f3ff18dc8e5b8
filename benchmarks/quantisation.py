"""Post-training accuracy against its limits, on all test images, with the bits of three implementations compared.

    RE2NA_DATA=folder python benchmarks/quantisation.py [--limit N] [--cpu-limit N] [--json] [lenet5 resnet18 alexnet efficientnet]

Each model is quantised for machines of several widths (17-bit accumulator) and run on the Re²Na simulator and in the PyTorch
emulation on all images, and in TVM on plain llvm on `--cpu-limit` of them (all of them for LeNet-5; the exact kernels are slow).
Exit status 1 where accuracy misses its limit, an accumulator overflows, or a bit differs. EfficientNet-Lite0 is reported beside
ONNX Runtime's own int8 of the same model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from rich.console import Console
from rich.table import Table

from tvm_re2na import pipeline
from tvm_re2na.cli.output import progress_bar
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.dataset import Dataset
from tvm_re2na.progress import Progress
from tvm_re2na.survey.measure import SurveyedModel, open_surveyed_model
from tvm_re2na.torch import from_onnx

FASHION = ("fmnist64_test.npz", "fmnist64_calib512.npz")
FILES = {
    "lenet5": ("lenet5_mnist.onnx", "mnist_test.npz", "mnist_calib512.npz"),
    "resnet18": ("resnet18_fmnist64.onnx", *FASHION),
    "alexnet": ("alexnet_fmnist64.onnx", *FASHION),
}
LIMITS = {  # bits: points of top-1 that may be lost
    "lenet5": {8: 0.03, 7: 0.05, 6: 0.10, 5: 0.20, 4: 0.8, 3: 6.0},
    "resnet18": {8: 0.2, 6: 1.5},
    "alexnet": {8: 0.2, 6: 1.5},
}


@dataclass(frozen=True)
class Row:
    """`change` and `limit` in points of top-1; `cpu_images`: how many were compared with TVM's CPU too."""

    model: str
    bits: int
    images: int
    top1_float: float
    top1: float
    change: float
    limit: float
    overflows: int
    torch_equal: bool
    cpu_equal: bool
    cpu_images: int
    quantise_seconds: float

    @property
    def good(self) -> bool:
        return self.change >= -self.limit - 1e-9 and not self.overflows and self.torch_equal and self.cpu_equal


def measure(name: str, surveyed: SurveyedModel, bits: int, cpu_limit: int) -> Row:
    arch = Architecture(data_bits=bits)
    started = time.perf_counter()
    model = surveyed.quantize(arch).model
    seconds = time.perf_counter() - started
    outputs, overflows = surveyed.on_re2na(model, arch, f"{name}, {bits} bits: Re²Na")
    emulated = run_torch(model, arch, surveyed, f"{name}, {bits} bits: PyTorch")
    cpu = run_cpu(model, surveyed, cpu_limit, f"{name}, {bits} bits: TVM CPU")
    top1, top1_float = surveyed.share(outputs) or 0.0, surveyed.top1 or 0.0
    return Row(
        name,
        bits,
        len(surveyed.images),
        top1_float,
        top1,
        round(100 * (top1 - top1_float), 3),
        LIMITS[name][bits],
        overflows,
        bool((outputs == emulated).all()),
        bool((outputs[: len(cpu)] == cpu).all()),
        len(cpu),
        round(seconds, 1),
    )


def run_torch(model: onnx.ModelProto, arch: Architecture, surveyed: SurveyedModel, stage: str) -> np.ndarray:
    module, parts, done = from_onnx(model, arch=arch), [], 0
    with torch.no_grad():
        for count, images in surveyed.images.batches(surveyed.batch):
            parts.append(module(torch.from_numpy(images))[:count].numpy())
            done += count
            surveyed.progress(stage, done, len(surveyed.images))
    return np.concatenate(parts)


def run_cpu(model: onnx.ModelProto, surveyed: SurveyedModel, limit: int, stage: str) -> np.ndarray:
    run = pipeline.build_for_cpu(*pipeline.import_into_tvm(model, surveyed.batch)).executor()
    parts, done = [], 0
    for count, images in surveyed.images.batches(surveyed.batch):
        parts.append(np.array(run(images)[0][:count]))
        done += count
        surveyed.progress(stage, min(done, limit), min(limit, len(surveyed.images)))
        if done >= limit:
            break
    return np.concatenate(parts)


def efficientnet(folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Ours and ONNX Runtime's int8, both calibrated on the crops without a label."""
    model = onnx.load(folder / "efficientnet_lite0_imagenet.onnx")
    photos = load_dataset(folder / "photos224.npz")
    if photos.y is None:
        raise SystemExit("photos224.npz has no labels")
    unlabelled = photos.x[photos.y < 0]
    calibration = Dataset("crops", photos.shape, None, len(unlabelled), lambda start, stop: unlabelled[start:stop])
    surveyed = open_surveyed_model(model, photos, calibration, progress)
    ours, overflows = surveyed.on_re2na(
        surveyed.quantize(Architecture()).model, Architecture(), "EfficientNet-Lite0: Re²Na"
    )
    theirs = surveyed.on_cpu(onnxruntime_int8(model, unlabelled), "EfficientNet-Lite0: ONNX Runtime")
    rows = {
        "float": surveyed.outputs,
        "Re²Na, one power of two a tensor": ours,
        "ONNX Runtime, scale per channel": theirs,
    }
    return [
        {
            "model": label,
            "top1": surveyed.share(outputs),
            "agreement": surveyed.agreement(outputs),
            "snr_db": None if label == "float" else surveyed.snr_db(outputs),
            "overflows": overflows if outputs is ours else None,
        }
        for label, outputs in rows.items()
    ]


def onnxruntime_int8(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {"input": image[None]}

    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return onnx.load(target)


def row_table(rows: list[Row]) -> Table:
    table = Table(title="Post-training quantisation, 17-bit accumulator", title_justify="left")
    for name in (
        "model",
        "bits",
        "float",
        "Re²Na",
        "change",
        "limit",
        "overflows",
        "= PyTorch",
        "= TVM CPU (images)",
        "s",
    ):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        shares = f"{row.top1_float:.4f}", f"{row.top1:.4f}", f"{row.change:+.2f}", f"-{row.limit:.2f}"
        equal = "yes" if row.torch_equal else "NO", f"{'yes' if row.cpu_equal else 'NO'} ({row.cpu_images:,})"
        style = None if row.good else "red"
        table.add_row(
            row.model, str(row.bits), *shares, str(row.overflows), *equal, str(row.quantise_seconds), style=style
        )
    return table


def photo_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="EfficientNet-Lite0, photographs", title_justify="left")
    for name in ("int8 by", "top-1 of the labelled", "same class as float", "SNR dB of the logits", "overflows"):
        table.add_column(name)
    for row in rows:
        table.add_row(row["model"], *("-" if row[key] is None else f"{row[key]:.4g}" for key in list(row)[1:]))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="post-training accuracy against its limits")
    parser.add_argument("models", nargs="*", default=[*FILES, "efficientnet"], choices=[*FILES, "efficientnet"])
    parser.add_argument("--limit", type=int, help="use at most N test images")
    parser.add_argument("--cpu-limit", type=int, default=1000, help="compare N images with TVM's CPU (1000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    folder, rows, photos = Path(os.environ["RE2NA_DATA"]), [], []
    for name in options.models:
        with progress_bar() as progress:
            if name == "efficientnet":
                photos = efficientnet(folder, progress)
                continue
            model, data, calibration = (folder / file for file in FILES[name])
            images = load_dataset(data, options.limit)
            surveyed = open_surveyed_model(onnx.load(model), images, load_dataset(calibration), progress)
            limit = len(images) if name == "lenet5" else options.cpu_limit
            rows += [measure(name, surveyed, bits, limit) for bits in LIMITS[name]]
    if options.json:
        print(
            json.dumps({"rows": [asdict(row) | {"good": row.good} for row in rows], "efficientnet": photos}, indent=2)
        )
    else:
        for table in ([row_table(rows)] if rows else []) + ([photo_table(photos)] if photos else []):
            Console(width=130).print(table)
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
