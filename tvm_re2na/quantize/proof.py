"""Stage 7: the quantised network itself, run on the calibration images: its sums are exact there."""

from __future__ import annotations

import math

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import halves
from tvm_re2na.progress import Progress
from tvm_re2na.quantize.accumulators import worst_case
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes, extremes
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.ranges import seen_range


def sums(net: Net, plan: QuantizationPlan, images: Calibration, progress: Progress) -> Extremes:
    """Extremes of the quantised network's own sums, its results rounded as the machine rounds them."""
    names = [raw_sums(layer) for layer in plan.quantised.layers]
    return extremes(emit(net, plan, half_up=True), names, images, progress, "checking accumulators", names)


def fits(
    layer: Layer, net: Net, plan: QuantizationPlan, seen: Extremes, arch: Architecture, options: QuantizeOptions
) -> bool:
    """Where rounding has eaten the headroom, or the room that images to come need, the layer's weights must be coarser. What no
    input at all can overflow needs no such room."""
    if options.guarantee is not Guarantee.OBSERVED:
        return True
    if largest(layer, plan, seen, options.headroom) > arch.acc_max:
        return False
    room = seen.to_come(raw_sums(layer), options.unseen_images)
    to_come = math.ldexp(room, -plan.unit(layer)) + int(halves(plan.lsbs(layer)).max())
    return to_come <= arch.acc_max or bound(net, layer, plan) <= arch.acc_max


def bound(net: Net, layer: Layer, plan: QuantizationPlan) -> int:
    """The largest |sum| that any input can cause."""
    return worst_case(plan.integers[layer.name], plan.lsbs(layer), seen_range(net, plan, layer))


def largest(layer: Layer, plan: QuantizationPlan, seen: Extremes, headroom: float = 1.0) -> float:
    """The largest |sum| that the accumulator held, headroom times as large."""
    low, high = (
        headroom
        * math.floor(math.ldexp(limits[raw_sums(layer)], -plan.unit(layer)))  # without the share that rounds up
        for limits in (seen.low, seen.high)
    )
    rounding = halves(plan.lsbs(layer))
    return max(high + int(rounding.max()), -low - int(rounding.min()))


def raw_sums(layer: Layer) -> str:
    """The sums' name in the emitted network: behind the layer comes a quantisation where there is no activation."""
    return f"{layer.sums}.float" if layer.sums == layer.result else layer.sums
