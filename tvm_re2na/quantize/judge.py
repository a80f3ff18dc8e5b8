"""Stage 8: what the quantised network computes, beside what the float network does, on images that the search did not see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import by_name
from tvm_re2na.codegen.arithmetic import halves
from tvm_re2na.decibels import decibels, floored_decibels
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize import proof
from tvm_re2na.quantize.emit import emit, read_name
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import batch_size, batches, without_filling
from tvm_re2na.quantize.plan import QuantizationPlan

IMAGES = 64  # the first ones: three networks run on them,
AT_ONCE = 8  # on so many at a time, because all results and sums are held

Answers: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """By layer its signal over noise in dB and the share of its sums that are ties; by output of the network signal over noise on
    the machine, which rounds ties upward, and in ONNX Runtime, which rounds them to even, None where there is no noise."""

    layers: dict[str, tuple[float, float]]
    outputs: dict[str, tuple[float | None, float | None]]


def judge(net: Net, plan: QuantizationPlan, images: Calibration) -> Verdict:
    """On the first IMAGES of them."""
    layers, images = plan.quantised.layers, images[:IMAGES]
    outputs = list(dict.fromkeys(net.output_names))
    machine = emit(net, plan, half_up=True)
    observed = {layer.name: (read_name(machine, layer.result), proof.raw_sums(layer)) for layer in layers}
    runs = (
        _answers(net, net, [*outputs, *(layer.result for layer in layers)], images),
        _answers(net, machine, [*outputs, *(name for names in observed.values() for name in names)], images),
        _answers(net, emit(net, plan), outputs, images),
    )
    noise = {layer.name: np.zeros(2) for layer in layers}  # energy, and that of the difference
    ties = {layer.name: np.zeros(2) for layer in layers}  # ties, sums
    totals = {name: np.zeros(3) for name in outputs}  # energy, and that of either difference
    for wanted, found, even in zip(*runs, strict=True):
        for layer in layers:
            result, sums = (found[name] for name in observed[layer.name])
            noise[layer.name] += _energy(wanted[layer.result]), _difference(wanted[layer.result], result)
            ties[layer.name] += _ties(sums, layer, plan), sums.size
        for name, total in totals.items():
            total += _energy(wanted[name]), *(_difference(wanted[name], other[name]) for other in (found, even))
    judged = {
        name: (round(floored_decibels(*noise[name]), 2), round(ties[name][0] / max(ties[name][1], 1), 4))
        for name in noise
    }
    told = {name: (decibels(energy, up), decibels(energy, nearest)) for name, (energy, up, nearest) in totals.items()}
    return Verdict(judged, told)


def judge_outputs(net: Net, plan: QuantizationPlan, images: Calibration, most: int = IMAGES) -> dict[str, float | None]:
    """The outputs' signal over noise on the machine alone, on the first ones of any images."""
    names = list(dict.fromkeys(net.output_names))
    runs = (_answers(net, made, names, images[:most]) for made in (net, emit(net, plan, half_up=True)))
    totals = {name: np.zeros(2) for name in names}
    for wanted, found in zip(*runs, strict=True):
        for name, total in totals.items():
            total += _energy(wanted[name]), _difference(wanted[name], found[name])
    return {name: decibels(*total) for name, total in totals.items()}


def _answers(net: Net, made: Net, names: list[str], images: Calibration) -> Iterator[Answers]:
    """Of each batch that `net` takes, by name; `made` is it, or what it became."""
    names = list(dict.fromkeys(names))
    running = session(to_onnx(made, names).SerializeToString(), fast=True)
    size = net.batch or min(AT_ONCE, batch_size(net, images))
    for first in range(0, len(images), size):
        (_, batch), left = next(batches(net, images[first : first + size])), len(images) - first
        found = dict(zip(names, running.run(names, by_name(batch, net.input_names)), strict=True))
        yield without_filling(found, len(batch), left)


def _ties(sums: npt.NDArray[np.float32], layer: Layer, plan: QuantizationPlan) -> int:
    """How many of the layer's sums lie halfway between two results."""
    lsbs = plan.lsbs(layer).reshape(1, -1, *[1] * (sums.ndim - 2))
    whole = np.floor(np.ldexp(sums, -plan.unit(layer)))  # without the share that rounds up
    return int(np.count_nonzero((np.mod(whole, np.ldexp(np.float32(1), lsbs)) == halves(lsbs)) & (lsbs > 0)))


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
