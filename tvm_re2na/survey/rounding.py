"""What the rounding constant buys: half of the cut-off LSB added before the cut, or nothing (truncation).

Under two rules: PyParch's (scales from the largest value, weights rounded to nearest), as in the hardware group's table, and this
package's search. A truncating machine is measured twice: as it is, and with corrected biases, which take the half up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_re2na.codegen.arch import Architecture, Rounding
from tvm_re2na.data import DataSource
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizeOptions
from tvm_re2na.quantize.options import ScaleRule, WeightRounding
from tvm_re2na.survey.cases import HERE, Workers, each_case
from tvm_re2na.survey.measure import WIDTHS, SurveyedModel, open_surveyed_model

RULES = {
    "pyparch": QuantizeOptions(
        scales=ScaleRule.LARGEST, rounding=WeightRounding.NEAREST, equalise=False, bias_correction=False
    ),
    "searched": QuantizeOptions(bias_correction=False),
}


@dataclass(frozen=True)
class RoundingRow:
    """Top-1 at one width under one rule; `corrected` is truncation with corrected biases. The overflows are of all three runs."""

    bits: int
    rule: str
    half_up: float | None
    truncate: float | None
    corrected: float | None
    overflows: int


@dataclass(frozen=True)
class RoundingSurvey:
    """One row for each rule for scales and width; `top1_float` is None without labels."""

    top1_float: float | None
    rows: tuple[RoundingRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {"top1_float": self.top1_float, "rows": [dataclasses.asdict(row) for row in self.rows]}


def survey_rounding(
    model: onnx.ModelProto,
    images: DataSource,
    calibration: DataSource,
    *,
    arch: Architecture | None = None,
    widths: Sequence[int] = WIDTHS,
    progress: Progress = silent,
    workers: Workers = HERE,
) -> RoundingSurvey:
    """Quantise `model` for machines that round and that truncate, at each data width under both rules."""
    surveyed = open_surveyed_model(model, images, calibration, progress)
    arch = arch or Architecture()
    cases = [(arch, bits, rule) for rule in RULES for bits in widths]
    known = {"arch": arch, "widths": tuple(widths)}
    return RoundingSurvey(surveyed.top1, each_case(surveyed, "rounding", _row, RoundingRow, cases, workers, **known))


def _row(surveyed: SurveyedModel, arch: Architecture, bits: int, rule: str) -> RoundingRow:
    plain = RULES[rule]
    corrected = dataclasses.replace(plain, bias_correction=True)
    cases = [(Rounding.HALF_UP, plain), (Rounding.TRUNCATE, plain), (Rounding.TRUNCATE, corrected)]
    shares: list[float | None] = []
    overflows = 0
    for mode, options in cases:
        machine = dataclasses.replace(arch, data_bits=bits, rounding=mode)
        quantized = surveyed.quantize(machine, options)
        outputs, more = surveyed.on_re2na(quantized.model, machine, f"{bits} bits, {rule}, {mode.name.lower()}")
        shares.append(surveyed.share(outputs))
        overflows += more
    half_up, truncate, taken_up = shares
    return RoundingRow(bits, rule, half_up, truncate, taken_up, overflows)
