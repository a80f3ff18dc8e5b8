"""What values a tensor can have at all, from the activation that made it."""

from __future__ import annotations

import math

from tvm_re2na.quantize.layers import Layer, is_moving
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.options import IntegerRange
from tvm_re2na.quantize.pads import integer_value, padding_value
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.transposed import is_transposed


def activation_bounds(net: Net, layer: Layer) -> tuple[float, float]:
    """The activation behind a layer clips to these; infinite where there is none."""
    node = net.producer(layer.result)
    return net.bounds.get(node.name, (-math.inf, math.inf)) if node is not None else (-math.inf, math.inf)


def source_range(net: Net, plan: QuantizationPlan, tensor: str) -> IntegerRange:
    """The integers that a quantised tensor can hold whatever the network's input is."""
    node = net.producer(tensor)
    if node is not None and node.name in net.bounds:
        low, high = (_step(bound, plan.exponent(tensor)) for bound in net.bounds[node.name])
        return max(low, plan.data[0]), min(high, plan.data[1])
    if node is not None and is_moving(node) and node.inputs[0] in plan.quantised.group_of:
        low, high = source_range(net, plan, node.inputs[0])
        filled = padding_value(net, node) if node.op == "Pad" else None
        if filled is None:
            return low, high
        step = integer_value(filled, plan.exponent(tensor), plan.data)
        return min(low, step), max(high, step)
    return plan.data


def seen_range(net: Net, plan: QuantizationPlan, layer: Layer) -> IntegerRange:
    """The integers that a layer multiplies by its weights; a transposed convolution leaves out some, which count as 0."""
    low, high = source_range(net, plan, layer.source)
    return (min(low, 0), max(high, 0)) if is_transposed(layer.node) else (low, high)


def _step(bound: float, exponent: int) -> int:
    return int(math.copysign(1 << 31, bound)) if math.isinf(bound) else math.floor(math.ldexp(bound, -exponent) + 0.5)
