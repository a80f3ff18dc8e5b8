"""What values the tensors take on the calibration images, seen through ONNX Runtime, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnxruntime

from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.options import Progress

BATCH_BYTES = 16 * 2**20  # of input images; keeps all activations of a large network below a gigabyte
LARGEST_BATCH = 32

Values = dict[str, npt.NDArray[np.float32]]


class Extremes:
    """Smallest and largest value of each tensor so far, 0 included."""

    def __init__(self, names: list[str]) -> None:
        self.low = dict.fromkeys(names, 0.0)
        self.high = dict.fromkeys(names, 0.0)

    def add(self, values: Values) -> None:
        """A batch."""
        for name in self.low:
            self.low[name] = min(self.low[name], float(values[name].min()))
            self.high[name] = max(self.high[name], float(values[name].max()))

    def magnitude(self, name: str) -> float:
        return max(-self.low[name], self.high[name])


def session(model: bytes, *, fast: bool = False) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, its operators those of the file. Its threads sleep while they have nothing to do: the time between
    two runs is NumPy's, and threads that spin take half of it.

    `fast`: convolutions may add up in another order and layout. To sums of integers that makes no difference, to a float network's
    extremes one in the last bit.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fast else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def observe(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str, *, fast: bool = False
) -> Iterator[Values]:
    """Values of the named tensors, one dictionary per batch of images; `fast`: see `session`."""
    running = session(to_onnx(net, names).SerializeToString(), fast=fast)
    computed = [name for name in names if name != net.input_name]
    for start, batch in batches(net, images):
        values = dict(zip(computed, running.run(computed, {net.input_name: batch}), strict=True))
        if net.input_name in names:
            values[net.input_name] = batch
        yield values
        progress(stage, min(start + len(batch), len(images)), len(images))


def batches(net: Net, images: Calibration) -> Iterator[tuple[int, Calibration]]:
    """Batches of the size that the model asks for, or of a convenient one; a short last batch repeats its last image."""
    fixed = net.shapes[net.input_name][0]
    size = batch_size(net, images)
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if fixed and len(batch) < size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        yield start, batch


def batch_size(net: Net, images: Calibration) -> int:
    return net.shapes[net.input_name][0] or max(1, min(LARGEST_BATCH, BATCH_BYTES // (images[:1].nbytes * 8)))


def extremes(net: Net, names: list[str], images: Calibration, progress: Progress, stage: str) -> Extremes:
    """Over all images."""
    seen = Extremes(names)
    for values in observe(net, names, images, progress, stage, fast=True) if len(images) else ():
        seen.add(values)
    return seen


def largest_by_channel(
    net: Net, names: list[str], images: Calibration, progress: Progress, stage: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Largest |value| of each channel (C,) of tensors (N, C, ...) over all images."""
    largest: dict[str, npt.NDArray[np.float64]] = {}
    for values in observe(net, names, images, progress, stage) if names else ():
        for name in names:
            others = (0, *range(2, values[name].ndim))
            most = np.maximum(values[name].max(others), -values[name].min(others)).astype(np.float64)
            largest[name] = np.maximum(largest.get(name, most), most)
    return largest
