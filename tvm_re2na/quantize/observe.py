"""What values the tensors take on the calibration images, seen through ONNX Runtime, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import by_name
from tvm_re2na.onnx_runtime import session
from tvm_re2na.progress import Progress
from tvm_re2na.quantize.limits import MOST_BYTES, check_values, image_bytes
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.margins import largest_to_come
from tvm_re2na.quantize.net import Net, to_onnx

BATCH_BYTES = 16 * 2**20  # of input images; keeps all activations of a large network below a gigabyte
LARGEST_BATCH = 32

TensorValues = dict[str, npt.NDArray[np.float32]]


class Extremes:
    """Smallest and largest value of each tensor so far, 0 included; of those in `sums` each image's largest magnitude as well."""

    def __init__(self, names: list[str], sums: Iterable[str] = ()) -> None:
        self.low = dict.fromkeys(names, 0.0)
        self.high = dict.fromkeys(names, 0.0)
        self.by_image: dict[str, npt.NDArray[np.float64]] = {name: np.zeros(0) for name in sums}

    def add(self, values: TensorValues) -> None:
        """A batch. Raises QuantizeError for values beyond the quantiser's limit."""
        for name in self.low:
            ends = np.array([values[name].min(), values[name].max()])
            check_values(f"{name}: values", ends)
            self.low[name] = min(self.low[name], float(ends[0]))
            self.high[name] = max(self.high[name], float(ends[1]))
        for name, known in self.by_image.items():
            rows = values[name].reshape(len(values[name]), -1)
            self.by_image[name] = np.append(known, np.maximum(rows.max(1), -rows.min(1)))

    def magnitude(self, name: str) -> float:
        return max(-self.low[name], self.high[name])

    def to_come(self, sums: str, images: int) -> float:
        """What sums reach on so many images that nobody has seen, at least what was seen."""
        return max(self.magnitude(sums), largest_to_come(self.by_image[sums], images))

    def joined(self, others: Extremes) -> Extremes:
        """Of the same tensors, on both one's images."""
        both = Extremes([])
        both.low = {name: min(low, others.low[name]) for name, low in self.low.items()}
        both.high = {name: max(high, others.high[name]) for name, high in self.high.items()}
        both.by_image = {name: np.append(known, others.by_image[name]) for name, known in self.by_image.items()}
        return both


def observe(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str, *, fast: bool = False
) -> Iterator[TensorValues]:
    """Values of the named tensors, one dictionary per batch of images; `fast`: see `session`."""
    running = session(to_onnx(net, names).SerializeToString(), fast=fast)
    computed = [name for name in names if name not in net.input_names]
    for start, batch in batches(net, images):
        given = by_name(batch, net.input_names)
        values = running.run(computed, given) if computed else []  # of no names, ONNX Runtime would compute all outputs
        found = dict(zip(computed, values, strict=True))
        told = {name: given[name] if name in given else found[name] for name in names}
        yield without_filling(told, len(batch), len(images) - start)
        progress(stage, min(start + len(batch), len(images)), len(images))


def check_runs(net: Net, images: Calibration) -> None:
    """Raises ModelError unless ONNX Runtime computes the first batch: whatever does not fit together is told by it, and none of the
    passes that come after needs to look."""
    running = session(to_onnx(net).SerializeToString())
    first = next(batches(net, images[: batch_size(net, images)]))[1]
    running.run(None, by_name(first, net.input_names))


def batches(net: Net, images: Calibration) -> Iterator[tuple[int, Calibration]]:
    """Batches of the size that the model asks for, or of a convenient one; a short last batch repeats its last image."""
    size = batch_size(net, images)
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if net.batch and len(batch) < size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        yield start, batch


def without_filling(values: dict[str, Any], size: int, count: int) -> dict[str, Any]:
    """What a batch of that size gave, without the images that fill up the last one, of which `count` are left."""
    if count >= size:
        return values
    return {name: value[:count] if np.shape(value)[:1] == (size,) else value for name, value in values.items()}


def batch_size(net: Net, images: Calibration) -> int:
    """At most what MOST_BYTES of tensors allow."""
    most = min(LARGEST_BATCH, BATCH_BYTES // (images[:1].nbytes * 8), MOST_BYTES // max(1, image_bytes(net)))
    return net.batch or max(1, most)


def extremes(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str, sums: Iterable[str] = ()
) -> Extremes:
    """Over all images; `sums`: see Extremes."""
    seen = Extremes(names, sums)
    for values in observe(net, names, images, progress, stage, fast=True) if names and len(images) else ():
        seen.add(values)
    return seen


def largest_by_channel(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Largest |value| of each channel (C,) of tensors (N, C, ...) over all images."""
    largest: dict[str, npt.NDArray[np.float64]] = {}
    for values in observe(net, names, images, progress, stage, fast=True) if names else ():
        for name in names:
            others = (0, *range(2, values[name].ndim))
            most = np.maximum(values[name].max(others), -values[name].min(others)).astype(np.float64)
            largest[name] = np.maximum(largest.get(name, most), most)
    return largest
