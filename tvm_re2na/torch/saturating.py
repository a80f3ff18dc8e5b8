"""Convolutions on a machine whose accumulator saturates at every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.torch import arithmetic

Pair = tuple[int, int]


def saturating_convolution(
    padded: Tensor, weight: Tensor, start: Tensor, strides: Pair, dilations: Pair, groups: int, arch: Architecture
) -> tuple[Tensor, int]:
    """Sums (N, O, H', W') of an input that is padded already and weight (O, C / groups, kh, kw), from `start` (O,), and how many
    steps were clamped; k runs over rows and columns of the kernel, channels innermost."""
    outputs, clipped, kernel_size = [], 0, tuple(weight.shape[2:])
    height, width = (
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(padded.shape[2:], dilations, kernel_size, strides, strict=True)
    )
    parts = zip(*(tensor.chunk(groups, axis) for tensor, axis in ((padded, 1), (weight, 0), (start, 0))), strict=True)
    for part, kernel, begin in parts:
        rows = F.unfold(part, kernel_size, dilations, 0, strides)
        rows = rows.reshape(len(padded), part.shape[1], -1, rows.shape[2]).transpose(1, 2).flatten(1, 2)
        sums, more = arithmetic.saturating_sums(rows, kernel.permute(0, 2, 3, 1).flatten(1), begin, arch)
        outputs.append(sums.unflatten(2, (height, width)))
        clipped += more
    return torch.cat(outputs, 1), clipped
