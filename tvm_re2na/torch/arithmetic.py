"""The machine's arithmetic on tensors of integers, exact forward and straight-through backward.

Tensors hold integers as float32 or float64, whichever is exact for the sums at hand. Backward, each function counts as the float
one it stands for: rounding as the identity, saturation as a clip, wrapping as nothing at all.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow
from tvm_re2na.codegen.arithmetic import half

EXACT_FLOAT32 = 2.0**24  # integers below it are float32 numbers
Bound: TypeAlias = Literal["norm", "centred"]
SLACK = 0.5  # of a step beyond the range: so far, values still move


class _Round(Function):
    """Round to whole numbers, then clamp; the gradient passes within the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, away: bool) -> Tensor:
        ctx.save_for_backward((x >= low - SLACK) & (x <= high + SLACK))
        rounded = torch.sign(x) * torch.floor(x.abs() + 0.5) if away else torch.floor(x + 0.5)
        return rounded.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


class _Even(Function):
    """Round to nearest even, as weights and biases are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward((x >= low - SLACK) & (x <= high + SLACK))
        return torch.round(x).clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class _Cut(Function):
    """What leaves the accumulator: wrapped to its width, shifted, brought to the data's width."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, lsb: int, arch: Architecture) -> Tensor:
        wrapped = sums if arch.acc_overflow is AccOverflow.SATURATE else wrap(sums, arch.acc_bits)
        shifted = torch.floor(wrapped * 2.0**-lsb)
        ctx.lsb = lsb
        ctx.save_for_backward((shifted >= arch.data_min) & (shifted <= arch.data_max))
        if arch.cut_overflow is CutOverflow.WRAP:
            return wrap(shifted, arch.data_bits)
        return shifted.clamp(arch.data_min, arch.data_max)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside * 2.0**-ctx.lsb, None, None


def quantise(x: Tensor, exponent: int, limits: tuple[float, float], *, away: bool = False) -> Tensor:
    """Integers of x in steps of 2**exponent, halves upward; `away` rounds them away from zero, as TVM does at a network's input."""
    rounded: Tensor = _Round.apply(scale(x, -exponent), *limits, away)
    return rounded


def quantise_constant(x: Tensor, exponent: int, limits: tuple[float, float] = (-math.inf, math.inf)) -> Tensor:
    """Integers of weights or biases in steps of 2**exponent, halves to even, as the quantiser rounds them."""
    rounded: Tensor = _Even.apply(scale(x, -exponent), *limits)
    return rounded


def bounded(
    scaled: Tensor,
    start: Tensor,
    source: tuple[int, int],
    limits: tuple[int, int],
    arch: Architecture,
    bound: Bound,
) -> Tensor:
    """Integers of weights (O, ...) in steps of 1 with which no inputs within `source` can overflow sums that begin at `start` (O,).

    Weights that allow it are rounded to the nearest; those of any other output are scaled to the L1 norm that does, and rounded
    towards zero (weight normalisation as in A2Q, Colbert et al. 2023). "centred" takes from the weights their mean first, as A2Q+
    does (2024): half of the norm is then above zero, half below, and inputs that are not negative leave room for twice as much.
    All are 0 where `start` alone leaves no room.
    """
    rows = scaled.flatten(1)
    low, high = min(source[0], 0), max(source[1], 0)
    if bound == "centred" and rows.shape[1] > 1:
        rows = rows - rows.mean(1, keepdim=True)
    near: Tensor = _Even.apply(rows, *limits)
    above, below = (sign.clamp(min=0).sum(1, dtype=torch.float64) for sign in (near.detach(), -near.detach()))
    fits = (start + high * above - low * below <= arch.acc_max) & (start + low * above - high * below >= arch.acc_min)
    room = torch.minimum(arch.acc_max - start, start - arch.acc_min).clamp(min=0)
    clipped = rows.clamp(*limits).double()
    above, below = clipped.clamp(min=0).sum(1), (-clipped).clamp(min=0).sum(1)
    most = torch.maximum(high * above - low * below, high * below - low * above)
    shrunk = clipped * (room / most.clamp(min=1)).clamp(max=1)[:, None]
    whole = torch.trunc(shrunk * (1 - 2**-40))  # what was rounded up on the way is taken back
    toward = shrunk + (whole - shrunk).detach()
    return torch.where(fits[:, None], near, toward.to(rows.dtype)).unflatten(1, scaled.shape[1:])


def scale(x: Tensor, exponent: int) -> Tensor:
    """x * 2**exponent."""
    return x * 2.0**exponent


def cut(sums: Tensor, lsb: int, arch: Architecture) -> Tensor:
    """The array's results for sums that hold bias and rounding half: `lsb` bits are cut off, the data's width is kept."""
    result: Tensor = _Cut.apply(sums, lsb, arch)
    return result


def wrap(values: Tensor, bits: int) -> Tensor:
    """Two's complement of `bits` bits."""
    span = 2.0**bits
    return values - span * torch.floor((values + span / 2) / span)


def overflows(sums: Tensor, arch: Architecture) -> int:
    """How many sums lie outside the accumulator."""
    return int(((sums < arch.acc_min) | (sums > arch.acc_max)).sum())


def exact_type(weight: Tensor, bias: Tensor, arch: Architecture) -> torch.dtype:
    """float32 where no sum of any input can leave what it holds exactly (the weights' L1 norm), float64 otherwise."""
    largest = weight.detach().abs().flatten(1).sum(1) * -arch.data_min + bias.detach().abs()
    return torch.float32 if float(largest.max()) + (1 << arch.acc_bits) < EXACT_FLOAT32 else torch.float64


def saturating_sums(rows: Tensor, weight: Tensor, start: Tensor, arch: Architecture) -> tuple[Tensor, int]:
    """Sums (N, O, P) of rows (N, K, P) and weight (O, K) that are clamped after every step, and how often that changed one.

    k runs in the machine's order. No gradient: a loop over K, for emulation.
    """
    clipped = 0
    sums = start.reshape(1, -1, 1).clamp(arch.acc_min, arch.acc_max).expand(len(rows), -1, rows.shape[2])
    clipped += int((start.clamp(arch.acc_min, arch.acc_max) != start).sum()) * len(rows) * rows.shape[2]
    for k in range(rows.shape[1]):
        exact = sums + weight[None, :, k, None] * rows[:, None, k]
        sums = exact.clamp(arch.acc_min, arch.acc_max)
        clipped += int((sums != exact).sum())
    return sums, clipped


def rounding_half(lsb: int) -> int:
    """What a sum holds beside the file's bias: the machine adds it, or one that truncates finds it in its bias."""
    return half(lsb)
