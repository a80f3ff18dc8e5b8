"""What all surveys do: quantise for a machine, run the images on its simulator, count.

The CPU is left out: that Re²Na gives its bits is what `compare` shows and the tests prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataSource
from tvm_re2na.dataset import Dataset
from tvm_re2na.decibels import floored_decibels
from tvm_re2na.evaluate import count_hits, float_runner
from tvm_re2na.float_runner import BatchRunner
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import scores_of
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizedModel, QuantizeError, QuantizeOptions
from tvm_re2na.runtime import library

Outputs: TypeAlias = npt.NDArray[np.float32]
WIDTHS = (8, 7, 6, 5, 4, 3, 2)
BATCH = 50  # images per run, where the model leaves it open


@dataclass(frozen=True)
class SurveyedModel:
    """A float model with its images; `outputs` are the float model's answers, computed once."""

    model: onnx.ModelProto
    images: Dataset
    calibration: Dataset
    outputs: Outputs
    progress: Progress

    @property
    def batch(self) -> int:
        return pipeline.batch_of(self.model) or min(BATCH, len(self.images))

    @property
    def scores(self) -> int:
        """The number of the output that tells the classes apart."""
        return scores_of(self.model)

    @property
    def top1(self) -> float | None:
        return self.share(self.outputs)

    def share(self, outputs: Outputs) -> float | None:
        """Top-1 of the labelled images; None where none is labelled."""
        if self.images.y is None or not self.images.labelled:
            return None
        return float(count_hits(outputs, self.images.y)[0] / self.images.labelled)

    def agreement(self, outputs: Outputs) -> float:
        """Share of the images whose best class is the float model's."""
        return float((outputs.argmax(1) == self.outputs.argmax(1)).mean())

    def snr_db(self, outputs: Outputs) -> float:
        """Energy of the float model's outputs over that of the difference."""
        noise = float(np.square(outputs - self.outputs, dtype=np.float64).sum())
        signal = float(np.square(self.outputs, dtype=np.float64).sum())
        return round(floored_decibels(signal, noise), 2)

    def quantize(self, arch: Architecture, options: QuantizeOptions | None = None) -> QuantizedModel:
        """Raises QuantizeError where a layer would stay in float: figures of the machine say nothing of it."""
        made = pipeline.quantize(self.model, self.calibration, arch, options=options)
        if made.report.kept_float:
            raise QuantizeError(f"{made.report.kept_float[0]}: its sums do not fit {arch.acc_bits} bits")
        return made

    def on_cpu(self, model: onnx.ModelProto, stage: str) -> Outputs:
        """The model's scores in ONNX Runtime, (N, classes)."""
        return _collect(float_runner(model), self.scores, self.images, self.batch, stage, self.progress)

    def on_re2na(self, model: onnx.ModelProto, arch: Architecture, stage: str) -> tuple[Outputs, int]:
        """The model's scores on the simulator, (N, classes), and how many accumulators overflowed."""
        mod, params = pipeline.import_into_tvm(model, self.batch)
        built = pipeline.build_for_re2na(mod, params, arch)
        library.bridge_reset()
        outputs = _collect(built.executor(), self.scores, self.images, self.batch, stage, self.progress)
        return outputs, library.bridge_totals()["overflows"]


def open_surveyed_model(
    model: onnx.ModelProto, images: DataSource, calibration: DataSource, progress: Progress = silent
) -> SurveyedModel:
    """Check model and images and run the float model. Raises ModelError for a quantised model, DataError for wrong images."""
    if pipeline.is_quantized(model):
        raise ModelError("a survey quantises the model itself: it needs the float one")
    known = pipeline.calibration_images(calibration, model)
    known.expect_shape(pipeline.sample_of(model))
    data = pipeline.images_for(images, model, known)
    batch = pipeline.batch_of(model) or min(BATCH, len(data))
    outputs = _collect(float_runner(model), scores_of(model), data, batch, "float model", progress)
    return SurveyedModel(model, data, known, outputs, progress)


def _collect(
    run: BatchRunner,
    scores: int,
    images: Dataset,
    batch: int,
    stage: str,
    progress: Progress,
) -> Outputs:
    parts: list[Outputs] = []
    done = 0
    for count, values in images.batches(batch):
        parts.append(np.array(run(values)[scores][:count], np.float32).reshape(count, -1))
        done += count
        progress(stage, done, len(images))
    return np.concatenate(parts)
