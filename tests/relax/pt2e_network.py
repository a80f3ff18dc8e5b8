"""A small network, a quantiser of PyTorch's PT2E with power-of-two scales, and PyTorch's own run with Re²Na's rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    DerivedQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

ATEN = torch.ops.aten
QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
LINEAR = (ATEN.conv2d.default, ATEN.linear.default)
SAME_SCALE = (ATEN.max_pool2d.default, ATEN.flatten.using_ints)
CLAMPS = (ATEN.relu.default, ATEN.relu6.default, ATEN.hardtanh.default, ATEN.clamp.default)
SYMMETRIC = torch.per_tensor_symmetric


class Residual(nn.Module):
    """Convolutions, pooling, a residual addition, dense layers. Biases are multiples of 1/64: steps of the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(8 * 4 * 4, 16), nn.Linear(16, 10)
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            layer.bias = nn.Parameter((layer.bias * 64).round() / 64)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = x + torch.relu(self.conv2(x))
        x = F.relu6(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)


class PowerOfTwo(MinMaxObserver):  # type: ignore[misc]
    """The scale of PyTorch's observer, rounded up to a power of two."""

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        scale, zero = super().calculate_qparams()
        return torch.exp2(torch.ceil(torch.log2(scale))), zero


@dataclass(frozen=True)
class Recipe:
    """How to quantise: what observes ranges, the range of activations, and whether biases become int32 at the sum's scale."""

    observer: Any = PowerOfTwo
    low: int = -128
    high: int = 127
    quantise_bias: bool = True
    fold: bool = True


def quantised(network: nn.Module, images: Tensor, recipe: Recipe) -> fx.GraphModule:
    """What `convert_pt2e` makes of a network calibrated on `images`, a batch of which it takes."""
    with torch.no_grad():
        prepared = prepare_pt2e(torch.export.export(network.eval(), (images,)).module(), SmallQuantizer(recipe))
        prepared(images)
        return convert_pt2e(prepared, fold_quantize=recipe.fold)


class SmallQuantizer(Quantizer):  # type: ignore[misc]
    """Quantises every operator that Re²Na has, with the clamp after it, each to int8 and one symmetric scale per tensor."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.data = _int8(recipe.observer, recipe.low, recipe.high)
        self.weight = _int8(recipe.observer, -127, 127)

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            if node.target in LINEAR:
                self._annotate(node, self._linear(node), self.data)
            elif node.target is ATEN.add.Tensor:
                self._annotate(node, dict.fromkeys(node.args, self.data), self.data)
            elif node.target in SAME_SCALE:
                data = node.args[0]
                self._annotate(node, {data: self.data}, SharedQuantizationSpec((data, node)))
        return model

    def validate(self, model: fx.GraphModule) -> None:
        del model

    def _linear(self, node: fx.Node) -> dict[fx.Node, Any]:
        data, weight, bias = (*node.args, None)[:3]
        specs: dict[fx.Node, Any] = {data: self.data, weight: self.weight}
        if bias is not None and self.recipe.quantise_bias:
            edges = [(data, node), (weight, node)]
            specs[bias] = DerivedQuantizationSpec(
                edges, _scale_of_sum, torch.int32, -(2**31), 2**31 - 1, qscheme=SYMMETRIC
            )
        return specs

    def _annotate(self, node: fx.Node, inputs: dict[fx.Node, Any], output: Any) -> None:
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
        last = next((user for user in node.users if user.target in CLAMPS), node)
        last.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation(_annotated=True)).output_qspec = output


class HalvesUp(fx.Interpreter):
    """Runs a converted model with the rounding of Re²Na: halves go up, and the operands of an addition are rounded one by one."""

    def run_node(self, n: fx.Node) -> Any:
        if n.target is ATEN.add.Tensor:
            step = next(user.args[1] for user in n.users if user.target is QUANTIZE)
            return sum(torch.floor(operand / step + 0.5) * step for operand in self.fetch_args_kwargs_from_env(n)[0])
        if n.target is QUANTIZE:
            x, scale, zero, low, high, dtype = self.fetch_args_kwargs_from_env(n)[0]
            return (torch.floor(x / scale + 0.5) + zero).clamp(low, high).to(dtype)
        return super().run_node(n)


def _int8(observer: Any, low: int, high: int) -> QuantizationSpec:
    given = {"dtype": torch.int8, "quant_min": low, "quant_max": high, "qscheme": SYMMETRIC}
    return QuantizationSpec(torch.int8, observer.with_args(**given), low, high, SYMMETRIC)


def _scale_of_sum(observers: list[Any]) -> tuple[Tensor, Tensor]:
    data, weight = (observer.calculate_qparams()[0] for observer in observers)
    return data * weight, torch.zeros(1, dtype=torch.int32)
