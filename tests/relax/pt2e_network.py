"""A small network, its quantisation by PyTorch (PT2E), and PyTorch's own run with Re²Na's rounding."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tvm_re2na.torch.pt2e import ADD, Re2naQuantizer

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default


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


def quantised(network: nn.Module, images: Tensor, *, fold: bool = True, **options: Any) -> fx.GraphModule:
    """What `convert_pt2e` makes of a network calibrated on `images`, a batch of which it takes; `options` of Re2naQuantizer."""
    with torch.no_grad():
        prepared = prepare_pt2e(torch.export.export(network.eval(), (images,)).module(), Re2naQuantizer(**options))
        prepared(images)
        return convert_pt2e(prepared, fold_quantize=fold)


class HalvesUp(fx.Interpreter):
    """Runs a converted model with the rounding of Re²Na: halves go up, and the operands of an addition are rounded one by one."""

    def run_node(self, n: fx.Node) -> Any:
        if n.target in ADD:
            step = _step_after(n)
            return sum(torch.floor(operand / step + 0.5) * step for operand in self.fetch_args_kwargs_from_env(n)[0])
        if n.target is QUANTIZE:
            x, scale, zero, low, high, dtype = self.fetch_args_kwargs_from_env(n)[0]
            return (torch.floor(x / scale + 0.5) + zero).clamp(low, high).to(dtype)
        return super().run_node(n)


def _step_after(node: fx.Node) -> Any:
    """The step of the `quantize` behind a node, or behind the clamps after it."""
    user = next(iter(node.users))
    return user.args[1] if user.target is QUANTIZE else _step_after(user)
