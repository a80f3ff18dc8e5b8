"""Networks of well-known families in PyTorch, as they come, with random weights (`settled`): what benchmarks/zoo.py goes through.

MLPerf Tiny's four (keyword spotting, visual wake words, image classification, anomaly detection) have the shapes of its reference
models; the others are the smallest that have all parts of their kind.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch.exported import block

Act = Callable[[], nn.Module]
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LINEAR = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def unit(given: int, made: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: Act = nn.ReLU) -> nn.Sequential:
    """Convolution that keeps the size but for the stride, BatchNorm, activation."""
    conv = nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), act())


def separable(given: int, made: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(unit(given, given, 3, stride, groups=given), unit(given, made))


def pooled(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def ds_cnn() -> nn.Module:
    """Keyword spotting: (1, 49, 10), 12 words."""
    first = nn.Sequential(nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(
        first, nn.Dropout(0.2), *(separable(64, 64) for _ in range(4)), nn.Dropout(0.4), pooled(64, 12)
    )


def mobilenet_v1() -> nn.Module:
    """Visual wake words: MobileNetV1 of a quarter of the width, (3, 96, 96), person or none."""
    widths = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    layers, given = [unit(3, 8, 3, 2)], 8
    for made, stride in widths:
        layers.append(separable(given, made, stride))
        given = made
    return nn.Sequential(*layers, pooled(256, 2))


class ResidualUnit(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        second = nn.Sequential(nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made))
        self.body = nn.Sequential(unit(given, made, 3, stride), second)
        self.shortcut = nn.Identity() if given == made else nn.Conv2d(given, made, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet8() -> nn.Module:
    """Image classification: (3, 32, 32), 10 classes."""
    stages = (ResidualUnit(16, 16, 1), ResidualUnit(16, 32, 2), ResidualUnit(32, 64, 2))
    return nn.Sequential(unit(3, 16, 3), *stages, pooled(64, 10))


def anomaly_autoencoder() -> nn.Module:
    """Anomaly detection: dense layers, 640 numbers to 640."""
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers = [nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*layers, nn.Linear(128, 640))


class UNet(nn.Module):
    """Three levels, transposed convolutions on the way up, skips concatenated; a class for each pixel."""

    def __init__(self, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(self._pair(a, b) for a, b in zip([3, *sizes[:-1]], sizes, strict=True))
        self.bottom = self._pair(sizes[-1], 2 * sizes[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * size, size, 2, 2) for size in sizes)
        self.merge = nn.ModuleList(self._pair(2 * size, size) for size in sizes)
        self.last = nn.Conv2d(width, classes, 1)

    @staticmethod
    def _pair(given: int, made: int) -> nn.Sequential:
        return nn.Sequential(block(given, made), block(made, made))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for down in self.down:
            kept.append(down(x))
            x = F.max_pool2d(kept[-1], 2)
        x = self.bottom(x)
        for up, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(kept), strict=True):
            x = merge(torch.cat([skip, up(x)], 1))
        return self.last(x)


class Csp(nn.Module):
    """YOLO's unit: the channels split, half of them through bottlenecks, all that came up concatenated."""

    def __init__(self, given: int, made: int, act: Act, shortcut: bool = True) -> None:
        super().__init__()
        self.half, self.shortcut = made // 2, shortcut
        self.first, self.last = unit(given, made, act=act), unit(made + self.half, made, act=act)
        self.body = nn.Sequential(unit(self.half, self.half, 3, act=act), unit(self.half, self.half, 3, act=act))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).split(self.half, 1)
        made = self.body(right)
        return self.last(torch.cat([left, right, right + made if self.shortcut else made], 1))


class Yolo(nn.Module):
    """Backbone, spatial pyramid of poolings, features up and down again, a head at each of two sizes."""

    def __init__(self, act: Act, width: int = 16, made: int = 24) -> None:
        super().__init__()
        a, b, c, d = width, 2 * width, 4 * width, 8 * width
        self.stem = nn.Sequential(unit(3, a, 3, 2, act=act), unit(a, b, 3, 2, act=act), Csp(b, b, act))
        self.middle = nn.Sequential(unit(b, c, 3, 2, act=act), Csp(c, c, act))
        self.deep = nn.Sequential(unit(c, d, 3, 2, act=act), Csp(d, d, act))
        self.squeeze, self.spread = unit(d, c, act=act), unit(4 * c, d, act=act)
        self.up, self.down = Csp(c + d, c, act, shortcut=False), unit(c, c, 3, 2, act=act)
        self.out = Csp(c + d, d, act, shortcut=False)
        self.heads = nn.ModuleList([nn.Conv2d(c, made, 1), nn.Conv2d(d, made, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        middle = self.middle(self.stem(x))
        pools = [self.squeeze(self.deep(middle))]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        deep = self.spread(torch.cat(pools, 1))
        fine = self.up(torch.cat([F.interpolate(deep, scale_factor=2.0), middle], 1))
        coarse = self.out(torch.cat([self.down(fine), deep], 1))
        return self.heads[0](fine), self.heads[1](coarse)


class FaceNetwork(nn.Module):
    """As the last of MTCNN's three: PReLU, poolings that round up, a face or none, its box, its landmarks; (3, 48, 48)."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2))
        convs = [nn.Sequential(nn.Conv2d(a, b, kernel), nn.PReLU(b)) for a, b, kernel in widths]
        pools = [nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 2)]
        body = [part for conv, pool in zip(convs, pools, strict=False) for part in (conv, pool)]
        self.body = nn.Sequential(*body, convs[-1], nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256))
        self.face, self.box, self.marks = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.body(x)
        return F.softmax(self.face(x), 1), self.box(x), self.marks(x)


def convolutional_autoencoder() -> nn.Module:
    """(3, 64, 64) to the same, by strides and transposed convolutions."""
    down = [block(a, b, 2) for a, b in ((3, 16), (16, 32), (32, 64))]
    up = [nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU()) for a, b in ((64, 32), (32, 16))]
    return nn.Sequential(*down, *up, nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid())


def audio() -> nn.Module:
    """A classifier of sounds, (1, 4000), by convolutions along time."""
    layers: list[nn.Module] = []
    for given, made, kernel, stride in ((1, 32, 79, 4), (32, 32, 3, 1), (32, 64, 3, 1)):
        conv = nn.Conv1d(given, made, kernel, stride, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm1d(made), nn.ReLU(), nn.MaxPool1d(4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 35))


def settled(model: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """The model with seeded random weights with which its activations neither explode nor die on these images.

    BatchNorm gets their statistics; a layer without one behind it is scaled to give outputs of standard deviation 1.
    """
    torch.manual_seed(seed)
    parts = list(model.modules())
    for part in parts:
        if isinstance(part, LINEAR):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, NORMS):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
            part.momentum = None  # statistics are the mean over what it sees
            part.reset_running_stats()
        if isinstance(getattr(part, "layer_scale", None), nn.Parameter):
            nn.init.constant_(part.layer_scale, 0.5)  # a block whose result is multiplied by 1e-6 is none

    model.eval()
    hooks = [part.register_forward_hook(_scaled) for part in parts if isinstance(part, LINEAR)]
    for part in parts:
        if isinstance(part, NORMS):
            part.train()
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return model.eval()


def _scaled(part: Any, _: Any, output: Tensor) -> Tensor:
    """Biases are 0 here, so that what scales the weights scales the output."""
    deviation = output.std().clamp_min(1e-6)
    part.weight.div_(deviation)
    return output / deviation


FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tiny_ds_cnn": (ds_cnn, (1, 49, 10)),
    "tiny_mobilenet_v1": (mobilenet_v1, (3, 96, 96)),
    "tiny_resnet8": (resnet8, (3, 32, 32)),
    "tiny_autoencoder": (anomaly_autoencoder, (640,)),
    "u_net": (UNet, (3, 128, 128)),
    "yolo_relu": (lambda: Yolo(nn.ReLU), (3, 160, 160)),
    "yolo_silu": (lambda: Yolo(nn.SiLU), (3, 160, 160)),
    "yolo_leaky_relu": (lambda: Yolo(lambda: nn.LeakyReLU(0.1)), (3, 160, 160)),
    "mtcnn_o_net": (FaceNetwork, (3, 48, 48)),
    "conv_autoencoder": (convolutional_autoencoder, (3, 64, 64)),
    "audio_conv1d": (audio, (1, 4000)),
}
