"""Stage 7: the quantised network itself, run on the calibration images: its sums are exact there."""

from __future__ import annotations

import math

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import half
from tvm_re2na.progress import Progress
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes, extremes
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions
from tvm_re2na.quantize.plan import QuantizationPlan


def sums(net: Net, plan: QuantizationPlan, images: Calibration, progress: Progress) -> Extremes:
    """Extremes of the quantised network's own sums, its results rounded as the machine rounds them."""
    names = [_raw_sums(layer) for layer in plan.quantised.layers]
    return extremes(emit(net, plan, half_up=True), names, images, progress, "checking accumulators")


def fits(layer: Layer, plan: QuantizationPlan, seen: Extremes, arch: Architecture, options: QuantizeOptions) -> bool:
    """Where rounding has eaten the headroom, the layer's weights must be coarser."""
    if options.guarantee is not Guarantee.OBSERVED:
        return True
    return largest(layer, plan, seen, options.headroom) <= arch.acc_max


def largest(layer: Layer, plan: QuantizationPlan, seen: Extremes, headroom: float = 1.0) -> float:
    """The largest |sum| that the accumulator held, headroom times as large."""
    low, high = (
        headroom
        * math.floor(math.ldexp(limits[_raw_sums(layer)], -plan.unit(layer)))  # without the share that rounds up
        for limits in (seen.low, seen.high)
    )
    rounding = half(plan.lsb(layer))
    return max(high + rounding, -low - rounding)


def _raw_sums(layer: Layer) -> str:
    """The sums' name in the emitted network: behind the layer comes a quantisation where there is no activation."""
    return f"{layer.sums}.float" if layer.sums == layer.result else layer.sums
