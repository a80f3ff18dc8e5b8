"""Pruning: weights that become 0 and stay 0 through fine-tuning and export.

The array works on blocks of rows: one step of a convolution multiplies one input value with the weights of 64 output channels at
once, one of a dense layer with those of up to 4,096 outputs. The compiler drops a step whose weights are 0 for the whole block;
single zeros cost what other weights cost. `kind="block"` prunes such steps, `kind="magnitude"` single weights.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.torch.layers import QConv2d, QLinearLayer

Kind: TypeAlias = Literal["magnitude", "block"]


class PruneError(Re2naError, ValueError):
    """The model cannot be pruned as asked; the message names the value and the limit."""


@dataclass(frozen=True)
class PrunedLayer:
    """Share of a layer's weights that are masked, and of its steps (per block of rows) that the compiler can drop."""

    name: str
    weights: int
    sparsity: float
    steps_dropped: float


def prune(
    model: nn.Module, sparsity: float, kind: Kind = "magnitude", *, layers: Collection[str] | None = None
) -> list[PrunedLayer]:
    """Mask the share `sparsity` of every layer's weights (of those named in `layers`): the smallest, or the blocks of least energy.

    Call it with growing shares and fine-tune in between. What was masked counts as smallest and stays masked. Layers with groups
    are left alone by "block". Raises PruneError.
    """
    if not 0 <= sparsity < 1:
        raise PruneError(f"sparsity = {sparsity} is outside 0..1, 1 excluded")
    if kind not in ("magnitude", "block"):
        raise PruneError(f"kind = '{kind}', expected 'magnitude' or 'block'")
    found = {name: module for name, module in model.named_modules() if _prunable(module, kind)}
    unknown = set(layers or ()) - set(found)
    if unknown:
        raise PruneError(f"layers: {', '.join(sorted(unknown))}: none that '{kind}' prunes; known: {', '.join(found)}")
    report = []
    for name, layer in found.items():
        if layers is None or name in layers:
            layer.mask = _magnitude(layer, sparsity) if kind == "magnitude" else _block(layer, sparsity)
        report.append(_report(name, layer))
    return report


def block_rows(layer: QLinearLayer) -> int:
    """Outputs that share a step: the array's rows for a convolution, all its PEs for a dense layer."""
    return layer.arch.array_rows if isinstance(layer, QConv2d) else layer.arch.pe_count


def _prunable(module: nn.Module, kind: Kind) -> bool:
    if not isinstance(module, QLinearLayer) or not module.weight.requires_grad:
        return False
    return kind == "magnitude" or not isinstance(module, QConv2d) or module.groups == 1


@torch.no_grad()
def _magnitude(layer: QLinearLayer, sparsity: float) -> Tensor:
    sizes = layer.kept_weight().abs().flatten()
    mask = torch.ones_like(sizes)
    mask[sizes.argsort()[: round(sparsity * len(sizes))]] = 0
    return mask.view_as(layer.weight)


@torch.no_grad()
def _block(layer: QLinearLayer, sparsity: float) -> Tensor:
    weight = layer.kept_weight().flatten(1)
    blocks = weight.split(block_rows(layer))
    energy = torch.stack([block.square().mean(0) for block in blocks])
    kept = torch.ones(energy.numel())
    kept[energy.flatten().argsort()[: round(sparsity * energy.numel())]] = 0
    rows = [keep.expand(len(block), -1) for keep, block in zip(kept.view_as(energy), blocks, strict=True)]
    return torch.cat(rows).reshape(layer.weight.shape).contiguous()


def _report(name: str, layer: QLinearLayer) -> PrunedLayer:
    mask = torch.ones_like(layer.weight) if layer.mask is None else layer.mask
    steps = [block.amax(0) == 0 for block in mask.flatten(1).split(block_rows(layer))]
    dropped = float(torch.cat(steps).float().mean())
    return PrunedLayer(name, mask.numel(), float((mask == 0).float().mean()), dropped)
