"""Small float networks in PyTorch, and the comparison of four ways to run a converted one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.torch import export


class Plain(nn.Module):
    """Functional forms, dropout, view, one ReLU module called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.fc1, self.fc2 = nn.Linear(8 * 2 * 2, 16), nn.Linear(16, 5)
        self.relu, self.drop = nn.ReLU(), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.conv(x)), 2)
        x = F.relu6(self.deep(x))
        x = self.drop(x.flatten(1))
        return self.fc2(self.relu(self.fc1(x)))


class Residual(nn.Module):
    """BatchNorm, a shortcut with a convolution, `+=`, average pooling before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn0 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv1, self.bn1 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.short = nn.Sequential(nn.Conv2d(8, 12, 1, stride=2, bias=False), nn.BatchNorm2d(12))
        self.relu, self.pool, self.fc = nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn0(self.stem(x)))
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.short(x)
        return self.fc(torch.flatten(self.pool(self.relu(y)), 1))


class Branches(nn.Module):
    """Concatenation, ReLU1, AvgPool2d before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Hardtanh(0.0, 1.0))
        self.right = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU6())
        self.pool, self.last = nn.AvgPool2d(2), nn.Conv2d(10, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pool(torch.cat([self.left(x), self.right(x)], 1)))


def made(network: type[nn.Module], seed: int = 0) -> tuple[Any, Tensor]:
    """The network with random weights and statistics, and 24 random images (3, 12, 12)."""
    torch.manual_seed(seed)
    model, images = network(), torch.randn(24, 3, 12, 12)
    model.train()
    with torch.no_grad():
        model(images)  # statistics of BatchNorm
    return model.eval(), images


def assert_one_answer(model: nn.Module, images: Tensor, arch: Architecture) -> np.ndarray:
    """PyTorch, Re²Na's simulator and TVM's CPU give the same bits, and nothing of the exported model stays on the CPU."""
    exported = export(model, tuple(images.shape[1:]))
    mod, params = pipeline.import_into_tvm(exported, len(images))
    built = pipeline.build_for_re2na(mod, params, arch)
    assert built.offloaded_macs_share == 1.0
    with torch.no_grad():
        emulated = model(images).numpy()
    for executor in (built.executor(), pipeline.build_for_cpu(mod, params).executor()):
        np.testing.assert_array_equal(executor(images.numpy())[0], emulated)
    return emulated
