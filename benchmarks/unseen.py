"""What the quantiser says of images that it has not seen, and what they get.

    RE2NA_DATA=folder python benchmarks/unseen.py [--json] [--channel-cuts] [mobilenet shufflenet efficientnet ppocr ppocr_det]

MobileNetV3-small and ShuffleNetV2 are calibrated on 32 and on 512 images, and judged on the 2,000 test images that they were not
trained on; EfficientNet-Lite0 on three quarters of the photographs and judged on the others, in four folds; so is PP-OCR's text
detection (real/ppocr_det.onnx), with words written on the photographs; PP-OCR's text direction (real/ppocr_cls.onnx) on 16 and on
128 crops of them, judged on 128 others. The integers are exact, computed by ONNX Runtime with halves rounded upward. Exit status 1
where top-1 loses more than its limit or an accumulator overflows. `--channel-cuts`: for a machine whose rows cut where each likes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from tvm_re2na.batches import Batch
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import halves
from tvm_re2na.data import load_dataset
from tvm_re2na.onnx_form.inputs import with_input_shapes
from tvm_re2na.onnx_runtime import session
from tvm_re2na.progress import silent
from tvm_re2na.quantize import QuantizeOptions, proof
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.judge import judge_outputs
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.net import to_onnx
from tvm_re2na.quantize.observe import batches, observe
from tvm_re2na.quantize.quantizer import Decision, decide

TRAINED = {"mobilenet": "mobilenet_v3_small_fmnist64", "shufflenet": "shufflenet_v2_x1_0_fmnist64"}
LIMITS = {512: 0.5, 32: 1.0}  # calibration images: points of top-1 that may be lost
UNTRAINED = slice(8000, 10_000)  # test images that these two networks were not trained on
NETWORKS = [*TRAINED, "efficientnet", "ppocr", "ppocr_det"]
FOLDS = 4
CROP = (48, 192)  # what PP-OCR's text direction reads
LINE = 48  # rows
LETTERS = "ABCDEFGHIKLMNOPRSTUVWabcdefghiklmnoprstuvw0123456789"


@dataclass(frozen=True)
class Case:
    network: str
    model: onnx.ModelProto
    calibration: Batch
    unseen: Batch
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """`change` and `limit` in points of top-1, None without labels; `overflows`: sums of the unseen images."""

    network: str
    calibration: int
    reported_db: float | None
    unseen_db: float | None
    seen_db: float | None
    change: float | None
    limit: float | None
    overflows: int

    @property
    def good(self) -> bool:
        return not self.overflows and (self.change is None or self.limit is None or self.change >= -self.limit - 1e-9)


def cases(name: str, folder: Path) -> Iterator[Case]:
    if name in TRAINED:
        model, test = onnx.load(folder / f"{TRAINED[name]}.onnx"), load_dataset(folder / "fmnist64_test.npz")
        calibration, labels = load_dataset(folder / "fmnist64_calib512.npz").x, test.y
        if labels is None:
            raise SystemExit("fmnist64_test.npz has no labels")
        for count in sorted(LIMITS):
            yield Case(name, model, calibration[:count], test.x[UNTRAINED], labels[UNTRAINED])
        return
    photos = load_dataset(folder / "photos224.npz").x
    if name != "ppocr":
        file = "efficientnet_lite0_imagenet.onnx" if name == "efficientnet" else "real/ppocr_det.onnx"
        model = onnx.load(folder / file)
        if name == "ppocr_det":
            model, photos = with_input_shapes(model, (None, 3, *photos.shape[2:])), _written(photos)
        for fold in range(FOLDS):
            unseen = np.arange(len(photos)) % FOLDS == fold
            yield Case(f"{name}, fold {fold + 1}", model, photos[~unseen], photos[unseen])
        return
    model = with_input_shapes(onnx.load(folder / "real" / "ppocr_cls.onnx"), (None, 3, *CROP))
    for count in (16, 128):
        yield Case(name, model, _crops(photos, count, 1), _crops(photos, 128, 2))


def _written(photos: Batch) -> Batch:
    """With words on them, light or dark, in two sizes: of a photograph without any text detection says next to nothing."""
    rng, height, found = np.random.default_rng(3), photos.shape[2], photos.copy()
    for photo in found:
        for top in range(0, height - LINE, LINE):
            page = Image.new("L", photo.shape[:0:-1])
            words = " ".join("".join(rng.choice(list(LETTERS), rng.integers(2, 9))) for _ in range(2))
            place = int(rng.integers(height // 4)), top + int(rng.integers(LINE // 4))
            ImageDraw.Draw(page).text(place, words, 255, ImageFont.load_default(int(rng.choice([16, 24]))))
            ink = np.asarray(page, np.float32) / 255
            photo += ink * (np.float32(rng.choice([-1, 1])) - photo)
    return found


def _crops(photos: Batch, count: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    rows, columns = (size - crop + 1 for size, crop in zip(photos.shape[2:], CROP, strict=True))
    found = []
    for _ in range(count):
        photo, row, column = rng.integers(len(photos)), rng.integers(rows), rng.integers(columns)
        found.append(photos[photo, :, row : row + CROP[0], column : column + CROP[1]])
    return np.stack(found)


def measure(case: Case, arch: Architecture) -> Row:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the images are few
        made = decide(load_net(case.model), case.calibration, arch, QuantizeOptions())
    output = made.report.outputs[0]
    unseen = judge_outputs(made.net, made.plan, case.unseen, most=len(case.unseen))[output.name]
    count = len(case.calibration)
    change = limit = None
    if case.labels is not None:
        float_net, machine = to_onnx(made.net), to_onnx(emit(made.net, made.plan, half_up=True))
        shares = [float((_classes(made, run, case.unseen) == case.labels).mean()) for run in (float_net, machine)]
        change, limit = round(100 * (shares[1] - shares[0]), 2), LIMITS[count]
    overflows = _overflows(made, case.unseen, arch)
    return Row(case.network, count, output.snr_db, unseen, output.seen_snr_db, change, limit, overflows)


def _classes(made: Decision, model: onnx.ModelProto, images: Batch) -> np.ndarray:
    running = session(model.SerializeToString(), fast=True)
    parts = [running.run(None, {made.net.input_name: batch})[0].argmax(1) for _, batch in batches(made.net, images)]
    return np.concatenate(parts)[: len(images)]


def _overflows(made: Decision, images: Batch, arch: Architecture) -> int:
    """Sums that leave the accumulator."""
    plan, total = made.plan, 0
    names = {layer.name: proof.raw_sums(layer) for layer in plan.quantised.layers}
    machine = emit(made.net, plan, half_up=True)
    for values in observe(machine, list(names.values()), images, silent, "sums", fast=True):
        for layer in plan.quantised.layers:
            sums = values[names[layer.name]]
            added = halves(plan.lsbs(layer)).reshape(1, -1, *[1] * (sums.ndim - 2))
            sums = np.floor(np.ldexp(sums, -plan.unit(layer))) + added
            total += int(np.count_nonzero((sums > arch.acc_max) | (sums < arch.acc_min)))
    return total


def table_of(rows: list[Row]) -> Table:
    table = Table(title="Images that the quantiser has not seen", title_justify="left")
    for name in ("network", "calibration images", "reported dB", "unseen dB", "seen dB", "top-1", "limit", "overflows"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for row in rows:
        decibels = ("-" if db is None else f"{db:.1f}" for db in (row.reported_db, row.unseen_db, row.seen_db))
        points = ("-" if row.change is None else f"{row.change:+.2f}", "-" if row.limit is None else f"-{row.limit}")
        shown = (row.network, str(row.calibration), *decibels, *points, str(row.overflows))
        table.add_row(*shown, style=None if row.good else "red")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description="what the quantiser says of images that it has not seen, and what they get"
    )
    parser.add_argument("networks", nargs="*", choices=NETWORKS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--channel-cuts", action="store_true", help="on a machine whose rows cut where each likes")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    folder = Path(os.environ["RE2NA_DATA"])
    arch = Architecture(channel_cuts=int(options.channel_cuts))
    rows = [measure(case, arch) for name in options.networks or NETWORKS for case in cases(name, folder)]
    if options.json:
        print(json.dumps([asdict(row) | {"good": row.good} for row in rows], indent=2))
    else:
        Console(width=130).print(table_of(rows))
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
