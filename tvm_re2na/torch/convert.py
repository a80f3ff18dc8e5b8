"""A float model -> the same model of Re²Na's layers, with the exponents that the project's own quantiser finds for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.progress import Progress
from tvm_re2na.quantize import QuantizationReport, QuantizeError, QuantizeOptions
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.options import Guarantee
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.quantizer import Decision, decide
from tvm_re2na.quantize.ranges import seen_range
from tvm_re2na.torch.export import float_onnx
from tvm_re2na.torch.functions import QFunction
from tvm_re2na.torch.layers import QInput, QLayer, QLinearLayer
from tvm_re2na.torch.replace import Layers, replace_layers

ImageTensor: TypeAlias = Tensor | npt.NDArray[np.float32]
StartWeights: TypeAlias = Literal["quantised", "float"]


def convert(
    model: nn.Module,
    calibration: ImageTensor,
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    layers: Layers | None = None,
    weights: StartWeights = "quantised",
    progress: Progress | None = None,
) -> fx.GraphModule:
    """The model with its layers replaced by Re²Na's (see `replace_layers`), calibrated: it computes what the machine does.

    `calibration` is float32 (N, C, H, W), normalised as the network's input. `layers` maps module types of your own to theirs.
    `weights`: "quantised" starts from the integers that the quantiser chose, the best without training; "float" keeps the float
    weights behind them, the better start for training. `model` itself is not changed. Raises ConvertError or QuantizeError.
    """
    replaced = replace_layers(model, tuple(calibration.shape[1:]), layers)
    calibrate(replaced, calibration, arch=arch, options=options, weights=weights, progress=progress)
    return replaced


def calibrate(
    model: nn.Module,
    calibration: ImageTensor,
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    weights: StartWeights = "quantised",
    progress: Progress | None = None,
) -> QuantizationReport:
    """Give a model that is made of Q-layers its machine, exponents, weights and biases; returns the quantiser's report."""
    arch = arch or Architecture()
    options = replace(options or QuantizeOptions(), channel_scales=False, split_layers=False)
    images = np.asarray(calibration, np.float32)
    found = decide(load_net(float_onnx(model, images.shape[1:])), images, arch, options, progress)
    if found.report.kept_float:
        raise QuantizeError(f"{found.report.kept_float[0]}: its sums do not fit {arch.acc_bits} bits")
    modules = {name: module for name, module in model.named_modules() if isinstance(module, QLayer)}
    narrower = found.plan.data if found.plan.data != (arch.data_min, arch.data_max) else None
    for name, module in modules.items():
        module.arch, module.narrower = arch, narrower
        module.exponent = _exponent(found.net, found.plan, name, module)
        if isinstance(module, QFunction):
            module.input_exponent = _input_exponent(found.net, found.plan, name)
    for layer in found.plan.quantised.layers:
        _decided(modules[layer.name], layer, found, weights)
        if options.guarantee is Guarantee.PROVEN:
            modules[layer.name].bound = "norm"
    return found.report


def _exponent(net: Net, plan: QuantizationPlan, name: str, module: QLayer) -> int | None:
    """That of the layer's result; a sum that goes into an activation has the activation's."""
    tensor = net.input_name if isinstance(module, QInput) else next(n.output for n in net.nodes if n.name == name)
    behind = net.only_consumer(tensor)
    if tensor not in plan.quantised.group_of and behind is not None and behind.name in net.bounds:
        tensor = behind.output
    return plan.exponent(tensor) if tensor in plan.quantised.group_of else None


def _input_exponent(net: Net, plan: QuantizationPlan, name: str) -> int | None:
    """That of what the layer reads, where it is quantised."""
    source = next(node.inputs[0] for node in net.nodes if node.name == name or node.name.startswith(f"{name}.step"))
    return plan.exponent(source) if source in plan.quantised.group_of else None


def _decided(module: QLayer, layer: Layer, found: Decision, weights: StartWeights) -> None:
    if not isinstance(module, QLinearLayer) or module.bias is None:
        raise TypeError(f"{layer.name}: {type(module).__name__}, expected a linear Q-layer with a bias")
    plan = found.plan
    module.input_exponent, module.weight_exponent = plan.exponent(layer.source), plan.weight[layer.name]
    module.weight_limits, module.input_limits = plan.weights, seen_range(found.net, plan, layer)
    integers = plan.integers[layer.name]
    steps = np.ldexp(integers.weight.astype(np.float64), module.weight_exponent)
    chosen = torch.from_numpy(np.array(found.net.constants[layer.node.inputs[1]], np.float32))
    trained = module.weight.requires_grad  # all but the weights of sums and averages
    if weights == "quantised" or not trained:
        chosen = module.by_output(torch.from_numpy(steps.astype(np.float32)))
    with torch.no_grad():
        module.weight.copy_(chosen)
        module.bias.copy_(torch.from_numpy(np.ldexp(integers.bias.astype(np.float64), module.unit).astype(np.float32)))
