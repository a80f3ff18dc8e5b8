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

PAYS = 0.6  # of what is lost: what may be left, where inputs give up a step

ErrorOf = Callable[[str, int], float]  # relative, of a tensor with an exponent


def balance(net: Net, plan: QuantizationPlan, error_of: ErrorOf) -> None:
    """Notes in `plan.balanced` which groups have become coarser by a step. Only maps may: the weights of dense layers gain more by
    being rounded together. Images keep their bits: what their smooth parts lose adds up."""
    quantised = plan.quantised
    for group, members in quantised.groups.items():
        readers = [layer for layer in quantised.layers if quantised.group_of[layer.source] == group]
        if readers and all(_reads_map(net, layer) for layer in readers) and set(members).isdisjoint(net.input_names):
            _balance_group(net, plan, group, readers, error_of)


def _reads_map(net: Net, layer: Layer) -> bool:
    """Of more than one pixel."""
    pixels = (net.shapes.get(layer.source) or ())[2:]
    return bool(pixels) and set(pixels) != {1} and not is_sum(net.constants[layer.node.inputs[1]])


def _balance_group(net: Net, plan: QuantizationPlan, group: str, readers: list[Layer], error_of: ErrorOf) -> None:
    coarser, members = plan.group[group] + 1, plan.quantised.groups[group]
    finer = {layer.name: _finer(net, plan, layer) for layer in readers}
    lost = [
        sum(
            _relative_error(net.constants[layer.node.inputs[1]], weight[layer.name], plan.weights_of(layer))
            for layer in readers
        )
        + len(readers) * float(np.mean([error_of(name, exponent) for name in members]))
        for exponent, weight in ((coarser - 1, plan.weight), (coarser, finer))
    ]
    cut = all(plan.exponent(layer.result) >= coarser + finer[layer.name] for layer in readers)
    if cut and lost[1] < PAYS * lost[0]:
        plan.group[group] = coarser
        plan.weight.update(finer)
        plan.balanced.add(group)


def _finer(net: Net, plan: QuantizationPlan, layer: Layer) -> int:
    """Of the weights, where the sums leave them a step more that is good for them."""
    own = weight_exponent(net.constants[layer.node.inputs[1]], plan.weights_of(layer), ScaleRule.SEARCHED)
    now = plan.weight[layer.name]
    return now - 1 if own < now else now


def _relative_error(weight: npt.NDArray[np.floating], exponent: int, limits: IntegerRange) -> float:
    lost = np.ldexp(rounded(weight, exponent, limits).astype(np.float64), exponent) - weight
    return float(np.square(lost).sum() / max(float(np.square(weight, dtype=np.float64).sum()), 1e-30))
