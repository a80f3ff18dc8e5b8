"""Stage 6: the exponents. The accumulator's width is an input of the search, not an afterthought.

For a layer, `acc = bias + sum(x * w)` counts in units of 2**(e_x + e_w) and must stay inside the accumulator on every calibration
image, with headroom; the result leaves it by a cut of `lsb = e_y - (e_x + e_w)` bits, 0 <= lsb < acc_bits. Activation exponents
are those of least squared error; a weight exponent starts at its own least squared error and is raised until the sums fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.layers import Layer, Quantised
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import FINEST, Extremes

WEIGHT_CANDIDATES = 4


@dataclass
class Exponents:
    """By group of tensors, and by name of the layer's node for weights."""

    group: dict[str, int]
    weight: dict[str, int]


def coarsest_exponent(magnitude: float, arch: Architecture) -> int:
    """The smallest exponent with which `magnitude` is not clipped; 0 for a tensor of zeros."""
    return math.ceil(math.log2(magnitude / arch.data_max)) if magnitude > 0 else 0


def choose_exponents(
    net: Net,
    quantised: Quantised,
    seen: Extremes,
    errors: dict[str, npt.NDArray[np.float64]],
    arch: Architecture,
    headroom: float,
) -> Exponents:
    """Exponents for all groups and weights under the accumulator's width. Raises QuantizeError where none will do."""
    group = {name: _group_exponent(members, seen, errors, arch) for name, members in quantised.groups.items()}
    weight = {layer.node.name: _weight_exponent(net, layer, arch) for layer in quantised.layers}
    exponents = Exponents(group, weight)
    for _ in range(64):
        changed = [_fit_layer(net, quantised, layer, seen, exponents, arch, headroom) for layer in quantised.layers]
        if not any(changed):
            return exponents
    raise QuantizeError("no exponents found under which every layer's sums fit the accumulator")


def _group_exponent(
    members: list[str], seen: Extremes, errors: dict[str, npt.NDArray[np.float64]], arch: Architecture
) -> int:
    """Least summed relative error over the group's members."""
    coarsest = max(coarsest_exponent(seen.magnitude(name), arch) for name in members)
    totals = np.zeros(FINEST)
    for index in range(FINEST):
        for name in members:
            own = coarsest_exponent(seen.magnitude(name), arch) - (coarsest - index)
            totals[index] += (
                errors[name][own] if 0 <= own < FINEST else (_coarser(errors[name][0], own) if own < 0 else np.inf)
            )
    return coarsest - int(np.argmin(totals))


def _coarser(error: float, steps: int) -> float:
    """Rounding error grows fourfold with each step that the exponent is coarser than the tensor needs."""
    return float(error * 4.0**-steps)


def _weight_exponent(net: Net, layer: Layer, arch: Architecture) -> int:
    weight = net.constants[layer.node.inputs[1]]
    if (weight == 1).all():
        return 0
    coarsest = coarsest_exponent(float(np.abs(weight).max()), arch)
    errors = [
        float(np.square(quantise(weight, coarsest - i, arch) * 2.0 ** (coarsest - i) - weight).sum())
        for i in range(WEIGHT_CANDIDATES)
    ]
    return coarsest - int(np.argmin(errors))


def quantise(values: npt.NDArray[np.float32], exponent: int, arch: Architecture) -> npt.NDArray[np.int64]:
    """Round to nearest multiples of 2**exponent, saturating at the data width."""
    scaled = np.rint(values.astype(np.float64) / 2.0**exponent)
    return np.clip(scaled, arch.data_min, arch.data_max).astype(np.int64)


def largest_sum(magnitude: float, exponent: int, lsb: int, arch: Architecture) -> float:
    """What an accumulator that counts in 2**exponent holds at most, the rounding half included."""
    return magnitude / 2.0**exponent + arch.half(min(max(lsb, 0), arch.acc_bits - 1))


def _fit_layer(
    net: Net,
    quantised: Quantised,
    layer: Layer,
    seen: Extremes,
    exponents: Exponents,
    arch: Architecture,
    headroom: float,
) -> bool:
    """Raise the weight's exponent until the sums fit, or the result's until the cut is one; whether anything changed."""
    name, result = layer.node.name, quantised.group_of[layer.result]
    before = exponents.weight[name], exponents.group[result]
    source = exponents.group[quantised.group_of[layer.source]]
    bias = float(np.abs(net.constants[layer.node.inputs[2]]).max())
    magnitude = max(headroom * seen.magnitude(layer.sums), bias)
    while True:
        unit = source + exponents.weight[name]
        lsb = exponents.group[result] - unit
        if largest_sum(magnitude, unit, lsb, arch) <= arch.acc_max and lsb < arch.acc_bits:
            break
        exponents.weight[name] += 1
    if lsb < 0:
        exponents.group[result] -= lsb
    return (exponents.weight[name], exponents.group[result]) != before
