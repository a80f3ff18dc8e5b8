"""Carry bits: what the sums of each layer need beyond the width of one product, and why.

A product of two b-bit numbers takes 2 b - 1 bits; every doubling of the sum beyond it takes one more. How far a sum grows is in the
weights: at most their L1 norm times the largest input (`worst_case`), in practice what the images make of it (`observed_max`). An
accumulator of 17 bits holds two carry bits of 8-bit data: the quantiser chooses scales that stay below. `free` is what the layer
would take on an accumulator without limit, and `largest` what it takes there under PyParch's rule for scales, for a comparison
with the hardware group's table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.data import DataSource
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizedModel, QuantizeOptions
from tvm_re2na.quantize.options import Guarantee, ScaleRule, WeightRounding
from tvm_re2na.survey.cases import HERE, Workers, each_case
from tvm_re2na.survey.measure import SurveyedModel, open_surveyed_model

UNLIMITED = 32  # accumulator bits that no network here fills
ACCUMULATORS = (20, 19, 18, 17, 16, 15, 14)
PYPARCH = QuantizeOptions(
    guarantee=Guarantee.OFF,
    scales=ScaleRule.LARGEST,
    rounding=WeightRounding.NEAREST,
    equalise=False,
    bias_correction=False,
)


@dataclass(frozen=True)
class CarryRow:
    """One linear layer. `additions` per sum; `l1_norm`: the largest sum of |weight| of an output, in integers."""

    layer: str
    carry_bits: int
    observed_max: int
    worst_case: int
    headroom: float
    additions: int
    l1_norm: int
    carry_bits_free: int
    carry_bits_largest: int
    l1_norm_largest: int


@dataclass(frozen=True)
class AccumulatorRow:
    """One width of the accumulator: with the scales that suit one without limit, and with scales chosen for it."""

    acc_bits: int
    overflows: int
    share: float
    top1: float | None
    overflows_chosen: int
    top1_chosen: float | None


@dataclass(frozen=True)
class CarrySurvey:
    """One row for each linear layer, and one for each width of the accumulator."""

    rows: tuple[CarryRow, ...]
    accumulators: tuple[AccumulatorRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "accumulators": [dataclasses.asdict(row) for row in self.accumulators],
        }


def survey_carry(
    model: onnx.ModelProto,
    images: DataSource,
    calibration: DataSource,
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    accumulators: Sequence[int] = ACCUMULATORS,
    progress: Progress = silent,
    workers: Workers = HERE,
) -> CarrySurvey:
    """Carry bits of every layer on the calibration images, and overflows on `images` for each width of the accumulator."""
    arch = arch or Architecture()
    options = dataclasses.replace(options or QuantizeOptions(), split_layers=False)  # a layer is what the model has
    surveyed = open_surveyed_model(model, images, calibration, progress)
    unlimited = dataclasses.replace(arch, acc_bits=UNLIMITED)
    chosen = surveyed.quantize(arch, options)
    free = surveyed.quantize(unlimited, dataclasses.replace(options, guarantee=Guarantee.OFF))
    largest = surveyed.quantize(unlimited, PYPARCH)
    rows = _rows(chosen, free, largest)
    sums = sum_count(surveyed, free.model)
    cases = [(arch, options, bits, free.model, sums) for bits in accumulators]
    known = {"arch": arch, "options": options, "accumulators": tuple(accumulators)}
    return CarrySurvey(rows, each_case(surveyed, "carry", _accumulator, AccumulatorRow, cases, workers, **known))


def _rows(chosen: QuantizedModel, free: QuantizedModel, largest: QuantizedModel) -> tuple[CarryRow, ...]:
    """Of layers that have one form: a long average takes as many steps as the accumulator asks for."""
    weights, unlimited, theirs = (_weights(made.model) for made in (chosen, free, largest))
    unbounded, rule = ({layer.name: layer for layer in made.report.layers} for made in (free, largest))
    return tuple(
        CarryRow(
            mine.name,
            mine.carry_bits,
            mine.observed_max,
            mine.worst_case,
            mine.headroom,
            additions=weights[mine.name][0].size,
            l1_norm=_l1_norm(weights[mine.name]),
            carry_bits_free=unbounded[mine.name].carry_bits,
            carry_bits_largest=rule[mine.name].carry_bits,
            l1_norm_largest=_l1_norm(theirs[mine.name]),
        )
        for mine in chosen.report.layers
        if mine.name in unlimited and weights[mine.name].shape == unlimited[mine.name].shape
    )


def _weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Integer weights by the name of their layer."""
    suffix = ".weight.int8"
    values = {item.name: item for item in model.graph.initializer if item.name.endswith(suffix)}
    return {name.removesuffix(suffix): numpy_helper.to_array(item) for name, item in values.items()}


def _l1_norm(weight: np.ndarray) -> int:
    return int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1).max())


def _accumulator(
    surveyed: SurveyedModel, arch: Architecture, options: QuantizeOptions, bits: int, free: onnx.ModelProto, sums: int
) -> AccumulatorRow:
    machine = dataclasses.replace(arch, acc_bits=bits, acc_overflow=AccOverflow.WRAP)
    outputs, overflows = surveyed.on_re2na(free, machine, f"{bits}-bit accumulator")
    own = surveyed.quantize(machine, options)
    chosen, still = surveyed.on_re2na(own.model, machine, f"{bits}-bit accumulator, own scales")
    share = overflows / (sums * len(surveyed.images))
    return AccumulatorRow(bits, overflows, share, surveyed.share(outputs), still, surveyed.share(chosen))


def sum_count(surveyed: SurveyedModel, model: onnx.ModelProto) -> int:
    """Sums that the linear layers make of one image: the elements of their outputs."""
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    linear = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return sum(int(np.prod([dim.dim_value for dim in shapes[name][1:]])) for name in linear)
