"""A pre-quantised model quantised again with power-of-two scales: dequantise -> quantise, and what that changed and costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.decibels import decibels
from tvm_re2na.float_runner import float_runner
from tvm_re2na.model_file import dimensions, scores_of
from tvm_re2na.prequantized.dequantise import DequantisedModel, dequantise
from tvm_re2na.prequantized.encoding import Encoding
from tvm_re2na.prequantized.exactness import LayerEncodings, is_exact, overflowing
from tvm_re2na.prequantized.qonnx import to_qdq
from tvm_re2na.prequantized.report import EncodingSummary, RequantizationCost, RequantizationReport, TensorChange
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizeOptions, quantize
from tvm_re2na.tally import count_hits

if TYPE_CHECKING:
    from tvm_re2na.dataset import Dataset


@dataclass(frozen=True)
class Requantized:
    """`model` is the re-quantised model, or the given one, the same object, where `report.exact`."""

    model: onnx.ModelProto
    report: RequantizationReport


def requantize(
    model: onnx.ModelProto,
    calibration: npt.NDArray[np.float32],
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
) -> Requantized:
    """A pre-quantised model with power-of-two scales instead of its own, which the machine takes.

    `calibration` is float32 (N, C, H, W), normalised as the network's input. The cost is not measured here: see `measure`.
    Raises PrequantizedError for a model that cannot be read, QuantizeError as `quantize` does.
    """
    arch, progress = arch or Architecture(), progress or silent
    standard = to_qdq(model)
    given = dequantise(standard)
    layers, full = LayerEncodings(given), tuple[str, ...]()
    if is_exact(given, layers, arch):
        full = overflowing(standard, layers, calibration, arch, progress)
        if not full:
            return Requantized(model, RequantizationReport(exact=True))
    made = quantize(given.model, calibration, arch=arch, options=options, progress=progress)
    changes = _changes(given, dequantise(made.model))
    return Requantized(made.model, RequantizationReport(exact=False, overflowing=full, changes=changes))


def measure(given: onnx.ModelProto, made: Requantized, data: Dataset, progress: Progress | None = None) -> Requantized:
    """The same with `report.cost`, from all images of `data`; nothing to measure where the given model was exact."""
    if made.report.exact:
        return made
    cost = _cost(to_qdq(given), made.model, data, progress or silent)
    return dataclasses.replace(made, report=dataclasses.replace(made.report, cost=cost))


def _changes(given: DequantisedModel, made: DequantisedModel) -> tuple[TensorChange, ...]:
    after = {item.name.removesuffix(".saturated").removesuffix(".float"): item.encoding for item in made.activations}
    pairs: list[tuple[str, str, Encoding | None, Encoding | None]]
    pairs = [("activation", item.name, item.encoding, after.get(item.tensor)) for item in given.activations]
    layers = [*given.weights, *(name for name in made.weights if name not in given.weights)]
    pairs += [("weight", name, given.weights.get(name), made.weights.get(name)) for name in layers]
    return tuple(
        TensorChange(name, role, _form(before), _form(then))
        for role, name, before, then in pairs
        if _differs(before, then)
    )


def _form(how: Encoding | None) -> EncodingSummary | None:
    return None if how is None else EncodingSummary.of(how)


def _differs(before: Encoding | None, after: Encoding | None) -> bool:
    return _form(before) != _form(after)


def _cost(given: onnx.ModelProto, made: onnx.ModelProto, data: Dataset, progress: Progress) -> RequantizationCost:
    runners = [float_runner(given), float_runner(made)]
    fixed, scores = dimensions(given.graph.input[0])[0], scores_of(given)
    agreed, done, signal, noise, hits = 0, 0, 0.0, 0.0, np.zeros((2, 2), np.int64)
    for count, images in data.batches(fixed or 64):
        progress("measuring the cost", done, len(data))
        outputs = [run(images)[scores][:count].reshape(count, -1).astype(np.float64) for run in runners]
        agreed += int((outputs[0].argmax(1) == outputs[1].argmax(1)).sum())
        signal += float((outputs[0] ** 2).sum())
        noise += float(((outputs[0] - outputs[1]) ** 2).sum())
        if data.y is not None:
            hits += np.stack([count_hits(output, data.y[done : done + count]) for output in outputs])
        done += count
    progress("measuring the cost", done, len(data))
    top1 = [float(hit[0]) / data.labelled if data.labelled else None for hit in hits]
    return RequantizationCost(done, agreed / done, decibels(signal, noise), *top1)
