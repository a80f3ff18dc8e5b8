"""Offloaded against CPU against float: the comparison a user came for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tvm_re2na import pipeline
from tvm_re2na.artefacts import artefacts
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import UNKNOWN, DataError, Dataset, FloatArray, load_dataset
from tvm_re2na.pipeline import Progress, silent
from tvm_re2na.runtime import library

Runner: TypeAlias = Callable[[FloatArray], list[npt.NDArray[Any]]]
Model: TypeAlias = "onnx.ModelProto | str | os.PathLike[str]"
Images: TypeAlias = "Dataset | str | os.PathLike[str]"


@dataclass(frozen=True)
class Scores:
    """Shares of the labelled images whose class is the best, or among the best five. None where no image is labelled."""

    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class Re2naScores(Scores):
    """`overflows` counts over all images; `cycles`, `milliseconds` and `dram_bytes` are for one inference.

    `utilisation` is MACs / (cycles x peak MACs per cycle).
    """

    overflows: int
    cycles: float
    milliseconds: float
    utilisation: float
    dram_bytes: float


@dataclass(frozen=True)
class Comparison:
    """`agreement`: share of images whose best class on Re²Na is the float model's.

    `bit_identical`: every element of every output of Re²Na is that of TVM's integer execution on the CPU, for all images.
    """

    images: int
    float32: Scores
    cpu_int8: Scores
    re2na: Re2naScores
    agreement: float
    bit_identical: bool
    offloaded_macs_share: float

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        values = dataclasses.asdict(self)
        return {"float" if name == "float32" else name: value for name, value in values.items()}


def compare(
    model: Model,
    data: Images,
    calibration: Images | None = None,
    arch: Architecture | None = None,
    *,
    limit: int | None = None,
    batch: int = 1,
    progress: Progress = silent,
) -> Comparison:
    """Run one model in float (ONNX Runtime), in int8 on the CPU (TVM, exact) and on Re²Na, image by image.

    A float model is quantised first and needs `calibration`; of a quantised one, "float" is what ONNX Runtime makes of it.
    Raises DataError, ModelError, QuantizeError or CompileError.
    """
    arch = arch or Architecture()
    proto = model if isinstance(model, onnx.ModelProto) else pipeline.load_model(model)
    images = data if isinstance(data, Dataset) else load_dataset(data, limit)
    images.expect_shape(pipeline.model_input(proto).image)
    known = calibration if calibration is None or isinstance(calibration, Dataset) else load_dataset(calibration)
    quantized = pipeline.quantized_model(proto, known, arch, progress)
    cpu, re2na = artefacts(quantized, arch, batch, progress)
    tally = Tally(images)
    library.bridge_reset()
    _run_all(tally, float_runner(proto), cpu.executor(), re2na.executor(), batch, progress)
    return tally.comparison(arch, library.bridge_totals(), re2na.offloaded_macs_share, batch)


def float_runner(model: onnx.ModelProto) -> Runner:
    """ONNX Runtime on the CPU; image by image where the model's batch is fixed to 1.

    Its int8 kernels for AVX2 without VNNI saturate in between, as TVM's do, unless they are asked for precision, which it grants
    to most models (its rewriting fails where two QLinear operators share a weight, and has no kernel for a QGemm of int8).
    """
    content, states = model.SerializeToString(), onnxruntime.capi.onnxruntime_pybind11_state
    try:
        session = _session(content, precise=True)
    except (states.Fail, states.NotImplemented):
        session = _session(content, precise=False)
    name = session.get_inputs()[0].name
    return lambda images: [np.asarray(output) for output in session.run(None, {name: images})]


def _session(model: bytes, precise: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3 if not precise else 4  # a failed rewriting is told by its exception
    # its idle threads would spin, which doubles what an image costs and takes the time from TVM's
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run_all(tally: Tally, reference: Runner, cpu: Runner, re2na: Runner, batch: int, progress: Progress) -> None:
    done = 0
    for count, images in tally.images.batches(batch):
        progress("compare", done, len(tally.images))
        tally.add(count, reference(images), cpu(images), re2na(images))
        done += count
    progress("compare", done, len(tally.images))


class Tally:
    """Counts hits as the images stream by; no output is kept."""

    def __init__(self, images: Dataset) -> None:
        self.images = images
        self._seen = self._agreed = self._runs = 0
        self._identical = True
        self._hits = {name: np.zeros(2, np.int64) for name in ("float", "cpu", "re2na")}

    def add(self, count: int, *outputs: list[npt.NDArray[Any]]) -> None:
        """One batch, of which the first `count` images are real: all outputs of float, CPU and Re²Na."""
        scores = [output[0][:count].reshape(count, -1) for output in outputs]
        labels = None if self.images.y is None else self.images.y[self._seen : self._seen + count]
        if labels is not None:
            _check_labels(self.images, labels, scores[0].shape[1])
            for hits, score in zip(self._hits.values(), scores, strict=True):
                hits += count_hits(score, labels)
        self._agreed += int((scores[0].argmax(1) == scores[2].argmax(1)).sum())
        self._identical &= all(_same_bits(a[:count], b[:count]) for a, b in zip(outputs[1], outputs[2], strict=True))
        self._seen += count
        self._runs += 1

    def comparison(self, arch: Architecture, totals: Mapping[str, int], share: float, batch: int) -> Comparison:
        """The result; `totals` are the simulator's counters over all runs."""
        inferences = self._runs * batch  # the images that filled up the last batch were simulated too
        cycles = totals["cycles"] / inferences
        peak = totals["cycles"] * arch.peak_macs_per_cycle
        re2na = Re2naScores(
            *self._shares("re2na"),
            overflows=totals["overflows"],
            cycles=cycles,
            milliseconds=cycles / (arch.clock_mhz * 1e3),
            utilisation=totals["macs"] / peak if peak else 0.0,
            dram_bytes=totals["dram_bytes"] / inferences,
        )
        return Comparison(
            images=self._seen,
            float32=Scores(*self._shares("float")),
            cpu_int8=Scores(*self._shares("cpu")),
            re2na=re2na,
            agreement=self._agreed / self._seen,
            bit_identical=self._identical,
            offloaded_macs_share=share,
        )

    def _shares(self, name: str) -> tuple[float | None, float | None]:
        if not self.images.labelled:
            return None, None
        top1, top5 = self._hits[name] / self.images.labelled
        return float(top1), float(top5)


def count_hits(scores: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(top-1, top-5) hits of scores (N, classes); unlabelled images never hit. Of equal scores the lower class is first."""
    known = labels != UNKNOWN
    scores, labels = scores[known], labels[known]
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return np.array([(rank < 1).sum(), (rank < 5).sum()], np.int64)


def _check_labels(images: Dataset, labels: npt.NDArray[np.int64], classes: int) -> None:
    if labels.max() >= classes:
        raise DataError(f"{images.source}: y holds class {labels.max()}, the network tells {classes} classes apart")


def _same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
