"""Accuracy against width: weights, activations, input and result, all of one width, on one accumulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.data import DataSource
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizeError, QuantizeOptions
from tvm_re2na.survey.cases import HERE, Workers, each_case
from tvm_re2na.survey.measure import WIDTHS, SurveyedModel, open_surveyed_model


@dataclass(frozen=True)
class BitsRow:
    """One width. Figures are None where `error` says why there are none; top-1 is None without labels."""

    bits: int
    top1: float | None
    top1_float: float | None
    overflows: int | None
    agreement: float | None = None
    snr_db: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class BitsSurvey:
    """One row for each width."""

    rows: tuple[BitsRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {"rows": [dataclasses.asdict(row) for row in self.rows]}


def survey_bits(
    model: onnx.ModelProto,
    images: DataSource,
    calibration: DataSource,
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    widths: Sequence[int] = WIDTHS,
    progress: Progress = silent,
    workers: Workers = HERE,
) -> BitsSurvey:
    """Quantise `model` anew for `arch` with each data width, and run all images on its simulator."""
    surveyed = open_surveyed_model(model, images, calibration, progress)
    arch = arch or Architecture()
    cases = [(arch, options, bits) for bits in widths]
    known = {"arch": arch, "options": options, "widths": tuple(widths)}
    return BitsSurvey(each_case(surveyed, "bits", _row, BitsRow, cases, workers, **known))


def _row(surveyed: SurveyedModel, arch: Architecture, options: QuantizeOptions | None, bits: int) -> BitsRow:
    try:
        machine = dataclasses.replace(arch, data_bits=bits)
        quantized = surveyed.quantize(machine, options)
        outputs, overflows = surveyed.on_re2na(quantized.model, machine, f"{bits} bits")
    except (QuantizeError, CompileError) as error:
        return BitsRow(bits, None, surveyed.top1, None, error=str(error))
    scores = surveyed.share(outputs), surveyed.top1
    return BitsRow(bits, *scores, overflows, surveyed.agreement(outputs), surveyed.snr_db(outputs))
