"""Stage 5: what values the tensors take on the calibration images, seen through ONNX Runtime, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.options import Progress

BATCH_BYTES = 16 * 2**20  # of input images; keeps all activations of a large network below a gigabyte
LARGEST_BATCH = 32
FINEST = 4  # candidate exponents per tensor: the one that clips nothing, and this many less one finer ones


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of each tensor."""

    low: dict[str, float]
    high: dict[str, float]

    def magnitude(self, name: str) -> float:
        return max(-self.low[name], self.high[name], 0.0)


def observe(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Values of the named tensors, one dictionary per batch of images."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )  # every tensor stays what it is
    options.log_severity_level = 3
    model = to_onnx(net, names).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    computed = [name for name in names if name != net.input_name]
    for start, batch in _batches(net, images):
        values = dict(zip(computed, session.run(computed, {net.input_name: batch}), strict=True))
        if net.input_name in names:
            values[net.input_name] = batch
        yield values
        progress(stage, min(start + len(batch), len(images)), len(images))


def _batches(net: Net, images: Calibration) -> Iterator[tuple[int, Calibration]]:
    """Batches of the size that the model asks for, or of a convenient one; a short last batch repeats its last image."""
    fixed = net.shapes[net.input_name][0]
    size = fixed or max(1, min(LARGEST_BATCH, BATCH_BYTES // (images[:1].nbytes * 8)))
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if fixed and len(batch) < size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        yield start, batch


def extremes(net: Net, names: list[str], images: Calibration, progress: Progress, stage: str) -> Extremes:
    """Over all images."""
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for values in observe(net, names, images, progress, stage):
        for name, value in values.items():
            low[name] = min(low[name], float(value.min()))
            high[name] = max(high[name], float(value.max()))
    return Extremes(low, high)


def exponent_errors(
    net: Net, coarsest: dict[str, int], images: Calibration, limits: tuple[int, int], progress: Progress
) -> dict[str, npt.NDArray[np.float64]]:
    """Relative squared error of each tensor for the exponents coarsest, coarsest - 1, ...; `limits` are the data's range."""
    errors = {name: np.zeros(FINEST) for name in coarsest}
    energy = dict.fromkeys(coarsest, 1e-30)
    for values in observe(net, list(coarsest), images, progress, "choosing activation exponents"):
        for name, value in values.items():
            energy[name] += float(np.square(value, dtype=np.float64).sum())
            for index in range(FINEST):
                step = np.float32(2.0 ** (coarsest[name] - index))
                rounded = np.clip(np.rint(value / step), *limits) * step
                errors[name][index] += float(np.square(rounded - value).sum(dtype=np.float64))
    return {name: error / energy[name] for name, error in errors.items()}
