"""Many images from a few: small changes that leave the class as it is, drawn anew for every batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 6  # control points of the elastic change, each way


@dataclass(frozen=True)
class Augment:
    """Turns, shears, sizes, shifts and bends images (N, C, H, W), thickens or thins what is bright, changes the contrast.

    Each number is the largest change: radians, shares of the size, shares of the image's half width. What comes in from outside has
    the value `fill`. The defaults are for handwritten digits; for photographs take less of everything and no strokes.
    """

    turn: float = 0.26
    shear: float = 0.25
    size: float = 0.17
    shift: float = 0.16
    bend: float = 0.10
    strokes: float = 0.35  # share of the images
    contrast: float = 0.15
    fill: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        bent = F.grid_sample(images - self.fill, self._grid(images), align_corners=False)
        if self.strokes:
            bent = self._with_strokes(bent)
        return bent * (1 + _drawn(len(images), self.contrast).view(-1, 1, 1, 1)) + self.fill

    def _grid(self, images: Tensor) -> Tensor:
        """Where each pixel comes from: an affine map and a smooth field of small shifts."""
        count = len(images)
        angle, shear = _drawn(count, self.turn), _drawn(count, self.shear)
        columns, rows = 1 + _drawn(count, self.size), 1 + _drawn(count, self.size)
        across, down = _drawn(count, self.shift), _drawn(count, self.shift)
        first = torch.stack([angle.cos() * columns, (shear - angle.sin()) * columns, across], 1)
        second = torch.stack([angle.sin() * rows, angle.cos() * rows, down], 1)
        grid = F.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
        points = torch.randn(count, 2, GRID, GRID) * self.bend * torch.rand(count, 1, 1, 1)
        field = F.interpolate(points, size=list(images.shape[2:]), mode="bicubic", align_corners=True)
        return grid + field.permute(0, 2, 3, 1)

    def _with_strokes(self, images: Tensor) -> Tensor:
        """Some thicker, some thinner, each by a share of a pixel."""
        kind, share = torch.rand(len(images), 1, 1, 1), torch.rand(len(images), 1, 1, 1)
        thick = images + (F.max_pool2d(images, 3, 1, 1) - images) * share
        thin = images + (-F.max_pool2d(-images, 3, 1, 1) - images) * share * 0.6
        return torch.where(kind < self.strokes * 0.6, thick, torch.where(kind < self.strokes, thin, images))


def _drawn(count: int, largest: float) -> Tensor:
    return (torch.rand(count) * 2 - 1) * largest
