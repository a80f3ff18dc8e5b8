"""Which layer costs the accuracy: each quantised alone, and all but each.

These models are partly float; they run in ONNX Runtime, which differs from the machine by one LSB at exact ties.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataSource
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizeOptions
from tvm_re2na.survey.cases import HERE, Workers, each_case
from tvm_re2na.survey.measure import SurveyedModel, open_surveyed_model


@dataclass(frozen=True)
class SensitivityRow:
    """One linear layer. `snr_db` is that of its result in the quantised network; `alone_...` with only this layer quantised,
    `without_...` with all others quantised: top-1, and signal over noise of the network's output."""

    layer: str
    snr_db: float
    alone_top1: float | None
    alone_snr_db: float
    without_top1: float | None
    without_snr_db: float


@dataclass(frozen=True)
class SensitivitySurvey:
    """`top1` and `snr_db` are those of the network with every layer quantised."""

    top1_float: float | None
    top1: float | None
    snr_db: float
    rows: tuple[SensitivityRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return dataclasses.asdict(self)


def survey_sensitivity(
    model: onnx.ModelProto,
    images: DataSource,
    calibration: DataSource,
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress = silent,
    workers: Workers = HERE,
) -> SensitivitySurvey:
    """Quantise `model` as a whole, then once with each layer alone and once with each left out."""
    arch = arch or Architecture()
    options = dataclasses.replace(options or QuantizeOptions(), split_layers=False)  # a layer is what the model has
    surveyed = open_surveyed_model(model, images, calibration, progress)
    whole = surveyed.quantize(arch, options)
    outputs = surveyed.on_cpu(whole.model, "all layers")
    names = frozenset(layer.name for layer in whole.report.layers)
    cases = [
        (arch, options, names, layer.name, layer.snr_db, f"layer {index + 1} of {len(names)}")
        for index, layer in enumerate(whole.report.layers)
    ]
    rows = each_case(surveyed, "sensitivity", _row, SensitivityRow, cases, workers, arch=arch, options=options)
    return SensitivitySurvey(surveyed.top1, surveyed.share(outputs), surveyed.snr_db(outputs), rows)


def _row(
    surveyed: SurveyedModel,
    arch: Architecture,
    options: QuantizeOptions,
    names: frozenset[str],
    layer: str,
    snr_db: float,
    stage: str,
) -> SensitivityRow:
    alone = _partly(surveyed, arch, options, names - {layer}, f"{stage} alone")
    without = _partly(surveyed, arch, options, frozenset({layer}), f"all but {stage}")
    return SensitivityRow(layer, snr_db, *alone, *without)


def _partly(
    surveyed: SurveyedModel, arch: Architecture, options: QuantizeOptions, keep_float: frozenset[str], stage: str
) -> tuple[float | None, float]:
    model = surveyed.quantize(arch, dataclasses.replace(options, keep_float=keep_float)).model
    outputs = surveyed.on_cpu(model, stage)
    return surveyed.share(outputs), surveyed.snr_db(outputs)
