"""Where the search starts: exponents from single tensors, made to fit the accumulator.

Activation exponents are those of least squared error; a weight exponent starts at its own least squared error and is raised until
the sums seen on the calibration images fit, headroom included, and the cut is one: 0 <= lsb < acc_bits.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize.accumulators import largest_sum
from tvm_re2na.quantize.errors import SumsDoNotFitError
from tvm_re2na.quantize.exponents import FINEST, coarsest_exponent
from tvm_re2na.quantize.layers import Layer, QuantisedLayers
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes
from tvm_re2na.quantize.options import Guarantee, IntegerRange, QuantizeOptions, ScaleRule
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.transposed import weight_of

WEIGHT_CANDIDATES = 4


def largest_rule(magnitude: float, limits: IntegerRange) -> int:
    """PyParch's exponent (its source, `sf = bits - 1 - ceil(log2(max|x|))`): the largest value just fits, or is clipped by one."""
    return math.ceil(math.log2(magnitude)) - (limits[1] + 1).bit_length() + 1 if magnitude > 0 else 0


def start_plan(
    net: Net,
    quantised: QuantisedLayers,
    seen: Extremes,
    errors: dict[str, npt.NDArray[np.float64]],
    arch: Architecture,
    options: QuantizeOptions,
) -> QuantizationPlan:
    """Exponents for all groups and weights. Raises SumsDoNotFitError where none will do."""
    weights, data = options.ranges(arch)
    wide = {layer.name: options.weights_of(layer.name, arch) for layer in quantised.layers}
    if options.scales is ScaleRule.LARGEST:
        group = {
            name: largest_rule(max(map(seen.magnitude, members)), data) for name, members in quantised.groups.items()
        }
    else:
        group = {name: _least_error(members, seen, errors, data) for name, members in quantised.groups.items()}
    weight = {
        layer.name: weight_exponent(net.constants[layer.node.inputs[1]], wide[layer.name], options.scales)
        for layer in quantised.layers
    }
    plan = QuantizationPlan(quantised, weights, data, group, weight, wide=wide)
    for _ in range(64):
        changed = [_fit_layer(net, layer, seen, plan, arch, options) for layer in quantised.layers]
        if not (plan.fit_products() or any(changed)):
            return plan
    raise SumsDoNotFitError([layer.name for layer, moved in zip(quantised.layers, changed, strict=True) if moved], arch)


def _least_error(
    members: list[str], seen: Extremes, errors: dict[str, npt.NDArray[np.float64]], limits: IntegerRange
) -> int:
    """Least summed relative error over the group's members."""
    coarsest = max(coarsest_exponent(seen.magnitude(name), limits) for name in members)
    totals = np.zeros(FINEST)
    for index in range(FINEST):
        totals[index] = sum(error_at(errors[name], seen.magnitude(name), coarsest - index, limits) for name in members)
    return coarsest - int(np.argmin(totals))


def error_at(errors: npt.NDArray[np.float64], magnitude: float, exponent: int, limits: IntegerRange) -> float:
    """A tensor's relative error with any exponent, from those that were observed (FINEST,), the coarsest exponent's first. Rounding
    error grows fourfold with each step that the exponent is coarser than the tensor needs."""
    finer = coarsest_exponent(magnitude, limits) - exponent
    if finer < 0:
        return float(errors[0] * 4.0**-finer)
    return float(errors[finer]) if finer < FINEST else math.inf


def weight_exponent(weight: npt.NDArray[np.floating], limits: IntegerRange, rule: ScaleRule) -> int:
    """Of weights that share one: by the rule, that of least squared error or that of the largest."""
    if is_sum(weight):
        return 0
    largest = float(np.abs(weight).max())
    if rule is ScaleRule.LARGEST:
        return largest_rule(largest, limits)
    coarsest = coarsest_exponent(largest, limits)
    errors = [
        float(np.square(rounded(weight, coarsest - i, limits) * 2.0 ** (coarsest - i) - weight).sum())
        for i in range(WEIGHT_CANDIDATES)
    ]
    return coarsest - int(np.argmin(errors))


def is_sum(weight: npt.NDArray[np.floating]) -> bool:
    """Whether a layer only adds: an average pooling in its exact form. Its weights are 1 and stay 1."""
    return bool((weight == 1).all())


def is_average(weight: npt.NDArray[np.floating]) -> bool:
    """Whether every output of a layer is so many times the sum of a window."""
    windows = weight.ndim > 2 and weight.shape[1] == 1 and weight[0].size > 1
    return windows and bool((weight == weight.flat[0]).all())


def rounded(weight: npt.NDArray[np.floating], exponent: int, limits: IntegerRange) -> npt.NDArray[np.int64]:
    """Weights as multiples of 2**exponent, each on its own; those of an average in turn up and down, so that their sum is the
    nearest to what it was: what is the same all over a window is averaged right, and nothing else is off by much."""
    if not is_average(weight):
        return nearest(weight, exponent, limits)
    ends = np.rint(np.cumsum(np.ldexp(weight.astype(np.float64), -exponent).reshape(len(weight), -1), 1))
    integers: npt.NDArray[np.int64] = np.clip(np.diff(ends, axis=1, prepend=0), *limits).astype(np.int64)
    return integers.reshape(weight.shape)


def nearest(values: npt.NDArray[np.floating], exponent: int, limits: IntegerRange) -> npt.NDArray[np.int64]:
    """Round to nearest multiples of 2**exponent, saturating at `limits`."""
    return np.clip(np.rint(np.ldexp(values.astype(np.float64), -exponent)), *limits).astype(np.int64)


def _bound(net: Net, layer: Layer, plan: QuantizationPlan) -> float:
    """What no input of the layer exceeds, with weights that are not rounded."""
    weight, bias = np.abs(weight_of(net, layer.node), dtype=np.float64), np.abs(net.constants[layer.node.inputs[2]])
    largest = math.ldexp(-plan.data[0], plan.exponent(layer.source))
    return float((weight.reshape(len(weight), -1).sum(1) * largest + bias).max())


def _fit_layer(
    net: Net, layer: Layer, seen: Extremes, plan: QuantizationPlan, arch: Architecture, options: QuantizeOptions
) -> bool:
    """Raise the weight's exponent until the sums fit, or the result's until the cut is one; whether anything changed."""
    source, result = (plan.quantised.group_of[name] for name in (layer.source, layer.result))
    sums = is_sum(net.constants[layer.node.inputs[1]])
    before = plan.weight[layer.name], plan.group[source], plan.group[result]
    magnitude = float(np.abs(net.constants[layer.node.inputs[2]]).max())  # a bias must fit whatever is promised of sums
    if options.guarantee is not Guarantee.OFF:
        magnitude = max(magnitude, options.headroom * seen.magnitude(layer.sums))
        magnitude = max(magnitude, min(seen.to_come(layer.sums, options.unseen_images), _bound(net, layer, plan)))
    while (most := int(plan.lsbs(layer).max())) >= arch.acc_bits or largest_sum(
        magnitude, plan.unit(layer), most, arch
    ) > arch.acc_max:
        if sums:  # weights that are 1 stay 1: what is added must be coarser
            plan.group[source] += 1
        else:
            plan.weight[layer.name] += 1
    plan.group[result] -= min(plan.lsb(layer), 0)
    return (plan.weight[layer.name], plan.group[source], plan.group[result]) != before
