"""Layers that move values or repeat them, and the product: no weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tvm_re2na.torch.layers import QLayer
from tvm_re2na.torch.onnx_nodes import OnnxNode


class QMul(QLayer):
    """The product of two tensors, of which one may have one number for each image and channel: cut once, halves upward."""

    def __init__(self) -> None:
        super().__init__()
        self.init_machine()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.quantise(x * y)

    def onnx(self) -> OnnxNode:
        return OnnxNode("Mul")


class QChannels(QLayer):
    """Some channels of the input, in any order: (N, C, ...) -> (N, len(channels), ...). Parts, halves and shuffles of channels."""

    channels: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.init_machine()
        self.register_buffer("channels", torch.tensor(list(channels)))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.channels)

    def onnx(self) -> OnnxNode:
        first = int(self.channels[0])
        if torch.equal(self.channels, torch.arange(first, first + len(self.channels)).to(self.channels)):
            ends = (torch.tensor([value]) for value in (first, first + len(self.channels), 1))
            return OnnxNode("Slice", tuple(ends))
        return OnnxNode("Gather", (self.channels,), {"axis": 1})

    def extra_repr(self) -> str:
        return f"{len(self.channels)} channels"


class QUpsample2d(QLayer, nn.Upsample):
    """nn.Upsample that repeats each pixel a whole number of times."""

    def __init__(self, factors: tuple[int, int]) -> None:
        super().__init__(scale_factor=tuple(float(factor) for factor in factors), mode="nearest")
        self.init_machine()
        self.factors = factors

    def onnx(self) -> OnnxNode:
        scales = torch.tensor([1.0, 1.0, *map(float, self.factors)])
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return OnnxNode("Resize", (None, scales), attributes)
