"""Transposed convolutions: linear layers whose weights PyTorch and ONNX keep with the input channels first."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_re2na.torch.layers import QLinearLayer, take_parameters
from tvm_re2na.torch.onnx_nodes import OnnxNode
from tvm_re2na.torch.saturating import saturating_convolution


class QConvTranspose2d(QLinearLayer, nn.ConvTranspose2d):
    """nn.ConvTranspose2d on Re²Na: (N, C, H, W) -> (N, O, H', W')."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.init_machine()

    @classmethod
    def from_float(cls, module: nn.Module) -> QConvTranspose2d:
        if not isinstance(module, nn.ConvTranspose2d):
            raise TypeError(f"QConvTranspose2d.from_float: {type(module).__name__}, expected ConvTranspose2d")
        sizes = module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding
        return take_parameters(cls(*sizes, module.output_padding, module.groups, True, module.dilation), module)

    def by_output(self, weight: Tensor) -> Tensor:
        """(I, O / groups, ...) <-> (O, I / groups, ...)."""
        parts = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)
        return parts.flatten(0, 1)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv_transpose2d(
            x, self.by_output(weight), bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )

    def saturating_product(self, x: Tensor, weight: Tensor, start: Tensor) -> tuple[Tensor, int]:
        """As an ordinary convolution by the kernel turned round, of its input with zeros between the pixels."""
        spread = F.conv_transpose2d(x, self._points(x), None, self.stride, groups=x.shape[1])
        pads = []
        for axis in (1, 0):
            beyond = self.dilation[axis] * (self.kernel_size[axis] - 1) - self.padding[axis]
            pads += [beyond, beyond + self.output_padding[axis]]
        return saturating_convolution(
            F.pad(spread, pads), weight.flip(2, 3), start, (1, 1), self.dilation, self.groups, self.arch
        )

    def _points(self, x: Tensor) -> Tensor:
        return torch.ones(x.shape[1], 1, 1, 1, dtype=x.dtype, device=x.device)

    def onnx(self) -> OnnxNode:
        attributes = {
            "kernel_shape": list(self.kernel_size),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "group": self.groups,
            "pads": list(self.padding) * 2,
            "output_padding": list(self.output_padding),
        }
        return OnnxNode("ConvTranspose", (self.kept_weight(), self.bias), attributes)
