"""Steps of a layer's inputs against those of its weights.

The unit of a layer's sums is the product of both steps, and the accumulator says how fine it may be. Each exponent is chosen for
its own tensor first; where the accumulator then takes steps from the weights, coarser inputs can be the lesser loss. What a layer
loses is estimated as the relative squared errors of its input and of its weights, added up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.options import IntegerRange, ScaleRule
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.scales import is_sum, rounded, weight_exponent

MOST = 3  # steps of a tensor

ErrorOf = Callable[[str, int], float]  # relative, of a tensor with an exponent


def balance(net: Net, plan: QuantizationPlan, error_of: ErrorOf) -> None:
    """Notes in `plan.balanced` which groups have become coarser. Images keep their bits: what their smooth parts lose adds up."""
    quantised = plan.quantised
    for group, members in quantised.groups.items():
        readers = [layer for layer in quantised.layers if quantised.group_of[layer.source] == group]
        adds = any(is_sum(net.constants[layer.node.inputs[1]]) for layer in readers)
        if readers and not adds and set(members).isdisjoint(net.input_names):
            _balance_group(net, plan, group, readers, error_of)


def _balance_group(net: Net, plan: QuantizationPlan, group: str, readers: list[Layer], error_of: ErrorOf) -> None:
    start, members = plan.group[group], plan.quantised.groups[group]
    best, least = 0, np.inf
    for step in range(MOST + 1):
        exponents = [_finest(net, plan, layer, step) for layer in readers]
        if any(plan.exponent(layer.result) < start + step + e_w for layer, e_w in zip(readers, exponents, strict=True)):
            break
        lost = float(np.mean([error_of(name, start + step) for name in members])) * len(readers)
        for layer, e_w in zip(readers, exponents, strict=True):
            lost += _relative_error(net.constants[layer.node.inputs[1]], e_w, plan.weights)
        if lost < least:
            best, least = step, lost
    if best:
        found = {layer.name: _finest(net, plan, layer, best) for layer in readers}
        plan.group[group] = start + best
        plan.weight.update(found)
        plan.balanced.add(group)


def _finest(net: Net, plan: QuantizationPlan, layer: Layer, step: int) -> int:
    """Of the weights, with inputs so many steps coarser: what the sums leave them, but no finer than is good for them."""
    own = weight_exponent(net.constants[layer.node.inputs[1]], plan.weights, ScaleRule.SEARCHED)
    now = plan.weight[layer.name]
    return min(now, max(own, now - step))


def _relative_error(weight: npt.NDArray[np.floating], exponent: int, limits: IntegerRange) -> float:
    lost = np.ldexp(rounded(weight, exponent, limits).astype(np.float64), exponent) - weight
    return float(np.square(lost).sum() / max(float(np.square(weight, dtype=np.float64).sum()), 1e-30))
