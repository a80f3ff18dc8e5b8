"""Stage 9: the report."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import proof
from tvm_re2na.quantize.accumulators import carry_bits
from tvm_re2na.quantize.judge import judge, judge_outputs
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.report import ImagesReport, LayerReport, OutputReport, QuantizationReport
from tvm_re2na.quantize.split import CalibrationSplit


def describe(
    net: Net,
    plan: QuantizationPlan,
    parts: CalibrationSplit,
    few: Calibration,
    held: Extremes,
    kept: Sequence[str],
    arch: Architecture,
) -> QuantizationReport:
    """What was decided, and what it does on the images held back, whose sums' extremes are `held`; `few` are those that the search
    saw, `kept` the layers that it could not quantise."""
    found, seen = judge(net, plan, parts.held_back), judge_outputs(net, plan, few)
    layers = (_layer(net, layer, plan, held, found.layers[layer.name], arch) for layer in plan.quantised.layers)
    outputs = (OutputReport(name, *judged, seen[name]) for name, judged in found.outputs.items())
    images = ImagesReport(len(few), len(parts.held_back), parts.synthetic)
    return QuantizationReport(tuple(layers), images, tuple(outputs), tuple(kept))


def _layer(
    net: Net, layer: Layer, plan: QuantizationPlan, held: Extremes, judged: tuple[float, float], arch: Architecture
) -> LayerReport:
    observed = round(proof.largest(layer, plan, held))
    snr_db, ties = judged
    return LayerReport(
        name=layer.name,
        op=layer.node.op,
        e_x=plan.exponent(layer.source),
        e_w=plan.weight[layer.name],
        finer=max(layer.finer, default=0),
        e_y=plan.exponent(layer.result),
        lsb=plan.lsb(layer),
        observed_max=observed,
        limit=arch.acc_max,
        headroom=round(arch.acc_max / max(observed, 1), 4),
        carry_bits=carry_bits(observed, arch.data_bits),
        worst_case=proof.bound(net, layer, plan),
        snr_db=snr_db,
        seen_snr_db=plan.seen_db[layer.name],
        ties=ties,
    )
