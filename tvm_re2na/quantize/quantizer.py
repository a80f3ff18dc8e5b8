"""The quantiser: its stages in order, on one page."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.bounds import largest_possible_sum
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.layers import Layer, Quantised, find_layers
from tvm_re2na.quantize.load import Calibration, check_calibration, load_net
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import Extremes, exponent_errors, extremes
from tvm_re2na.quantize.options import Progress, QuantizeOptions
from tvm_re2na.quantize.pool import pools_to_sums
from tvm_re2na.quantize.report import LayerReport, QuantizationReport, carry_bits
from tvm_re2na.quantize.scales import Exponents, choose_exponents, coarsest_exponent, largest_sum

ATTEMPTS = 8  # each one makes at least one layer coarser by a factor of two


@dataclass(frozen=True)
class QuantizedModel:
    """`model` is plain ONNX QDQ with the float model's input and output names; `report` says what was chosen."""

    model: onnx.ModelProto
    report: QuantizationReport


def quantize(
    model: onnx.ModelProto | str | os.PathLike[str],
    calibration: npt.NDArray[np.float32],
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantise a float ONNX model to int8 with power-of-two per-tensor scales and zero point 0.

    `calibration` is float32 (N, C, H, W), normalised as the network's input. On these images no accumulator of the result
    overflows, and each keeps `options.headroom`. Operators the quantiser does not know stay in float. `progress(stage, done,
    total)` is called along the way. Raises QuantizeError for a model or data that cannot be used.
    """
    arch, options = arch or Architecture(), options or QuantizeOptions()
    report = progress or (lambda stage, done, total: None)
    net = load_net(model)
    images = check_calibration(calibration, net)
    fold(net)
    pools_to_sums(net)
    quantised = find_layers(net)
    seen = extremes(net, _observed(quantised), images, report, "observing activations")
    coarsest = {name: coarsest_exponent(seen.magnitude(name), arch) for name in quantised.group_of}
    errors = exponent_errors(net, coarsest, images[: options.error_images], (arch.data_min, arch.data_max), report)
    exponents = choose_exponents(net, quantised, seen, errors, arch, options.headroom)
    result, sums = _until_it_fits(net, quantised, exponents, images, arch, options, report)
    return QuantizedModel(to_onnx(result), _report(result, quantised, exponents, sums, arch))


def _observed(quantised: Quantised) -> list[str]:
    return list(dict.fromkeys([*quantised.group_of, *(layer.sums for layer in quantised.layers)]))


def _until_it_fits(
    net: Net,
    quantised: Quantised,
    exponents: Exponents,
    images: Calibration,
    arch: Architecture,
    options: QuantizeOptions,
    progress: Progress,
) -> tuple[Net, Extremes]:
    """Run the quantised network itself; where rounding has eaten the headroom, make that layer's weights coarser."""
    for attempt in range(ATTEMPTS):
        result = emit(net, quantised, exponents, arch)
        raw = {layer.node.name: _raw_sums(layer) for layer in quantised.layers}
        stage = "checking accumulators" if attempt == 0 else f"checking accumulators again ({attempt})"
        seen = extremes(result, list(raw.values()), images, progress, stage)
        full = [
            layer for layer in quantised.layers if not _fits(layer, quantised, exponents, seen, arch, options.headroom)
        ]
        if not full:
            return result, seen
        for layer in full:
            _coarsen(layer, quantised, exponents)
    raise QuantizeError(
        f"after {ATTEMPTS} attempts the sums of {full[0].node.name} still do not fit {arch.acc_bits} bits"
    )


def _raw_sums(layer: Layer) -> str:
    """The sums' name in the emitted network: behind the layer comes a quantisation where there is no activation."""
    return f"{layer.sums}.float" if layer.sums == layer.result else layer.sums


def _unit(layer: Layer, quantised: Quantised, exponents: Exponents) -> tuple[int, int]:
    """Exponent of the sums, and the cut."""
    unit = exponents.group[quantised.group_of[layer.source]] + exponents.weight[layer.node.name]
    return unit, exponents.group[quantised.group_of[layer.result]] - unit


def _fits(
    layer: Layer, quantised: Quantised, exponents: Exponents, seen: Extremes, arch: Architecture, headroom: float
) -> bool:
    unit, lsb = _unit(layer, quantised, exponents)
    return largest_sum(headroom * seen.magnitude(_raw_sums(layer)), unit, lsb, arch) <= arch.acc_max


def _coarsen(layer: Layer, quantised: Quantised, exponents: Exponents) -> None:
    exponents.weight[layer.node.name] += 1
    result = quantised.group_of[layer.result]
    _, lsb = _unit(layer, quantised, exponents)
    exponents.group[result] -= min(lsb, 0)


def _report(
    result: Net, quantised: Quantised, exponents: Exponents, seen: Extremes, arch: Architecture
) -> QuantizationReport:
    return QuantizationReport(
        tuple(_layer_report(result, layer, quantised, exponents, seen, arch) for layer in quantised.layers)
    )


def _layer_report(
    result: Net, layer: Layer, quantised: Quantised, exponents: Exponents, seen: Extremes, arch: Architecture
) -> LayerReport:
    name = layer.node.name
    unit, lsb = _unit(layer, quantised, exponents)
    observed = round(largest_sum(seen.magnitude(_raw_sums(layer)), unit, lsb, arch))
    weight, bias = result.constants[f"{name}.weight.int8"], result.constants[f"{name}.bias.int32"]
    return LayerReport(
        name=name,
        op=layer.node.op,
        e_x=exponents.group[quantised.group_of[layer.source]],
        e_w=exponents.weight[name],
        e_y=exponents.group[quantised.group_of[layer.result]],
        lsb=lsb,
        observed_max=observed,
        limit=arch.acc_max,
        headroom=round(arch.acc_max / max(observed, 1), 4),
        carry_bits=carry_bits(observed, arch.data_bits),
        worst_case=largest_possible_sum(weight, bias, lsb, arch),
    )
