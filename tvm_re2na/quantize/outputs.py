"""Stage 8: what the quantised network answers, beside what the float network does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tvm_re2na.batches import by_name
from tvm_re2na.decibels import decibels
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import batches
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.report import OutputReport

IMAGES = 64  # the first ones of the calibration images: three networks run on them


def judge_outputs(net: Net, plan: QuantizationPlan, images: Calibration) -> tuple[OutputReport, ...]:
    """Signal over noise of every output, halves rounded upward as the machine does, and to even as ONNX Runtime does."""
    names = list(dict.fromkeys(net.output_names))
    networks = [to_onnx(made) for made in (net, emit(net, plan, half_up=True), emit(net, plan))]
    wanted, machine, even = (session(model.SerializeToString(), fast=True) for model in networks)
    # energy, and that of the difference on the machine and in ONNX Runtime
    totals = {name: np.zeros(3) for name in names}
    for _, batch in batches(net, images[:IMAGES]):
        answers = [running.run(names, by_name(batch, net.input_names)) for running in (wanted, machine, even)]
        for name, values, *others in zip(names, *answers, strict=True):
            totals[name] += [_energy(values), *(_difference(values, other) for other in others)]
    return tuple(
        OutputReport(name, *(decibels(energy, noise) for noise in noises)) for name, (energy, *noises) in totals.items()
    )


def _energy(values: Any) -> float:
    """NaN for what is no tensor of numbers."""
    if not isinstance(values, np.ndarray | np.generic) or values.dtype.kind not in "fiub":
        return math.nan
    return float(np.square(values.astype(np.float64)).sum())


def _difference(values: Any, others: Any) -> float:
    """NaN where the outputs have no shape in common: one that depends on data."""
    if math.isnan(_energy(others)) or values.shape != others.shape:
        return math.nan
    return _energy(others.astype(np.float64) - values)
