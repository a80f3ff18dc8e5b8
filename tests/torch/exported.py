"""Small networks as people write them in PyTorch, and both ways in which it exports them. `NETWORKS` is what
benchmarks/exports.py goes through."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGE = (3, 16, 16)
Forward = Callable[..., Any]


class Net(nn.Module):
    """Named modules, and a function of them and the image."""

    def __init__(self, forward: Forward, **parts: nn.Module) -> None:
        super().__init__()
        self.compute = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.compute(self, x)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, last: nn.Module) -> None:
        super().__init__()
        self.down, self.up, self.last = (
            nn.Conv2d(channels, channels // 4, 1),
            nn.Conv2d(channels // 4, channels, 1),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.last(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


def block(given: int, made: int, stride: int = 1, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    conv = nn.Conv2d(given, made, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), act())


def head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


def _residual(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.head(F.relu(x + m.c(m.b(x))))


def _computed_shape(m: Any, x: Tensor) -> Tensor:
    x = F.avg_pool2d(m.a(x), 2)
    return m.fc(x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]))


def _shuffle(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    x = x.view(x.size(0), 2, x.size(1) // 2, x.size(2), x.size(3)).transpose(1, 2).contiguous()
    return m.c(x.view(x.size(0), -1, x.size(3), x.size(4)))


def _split(m: Any, x: Tensor) -> Tensor:
    left, right = m.a(x).chunk(2, 1)
    return m.c(torch.cat([left, m.b(right)], 1))


def _u_net(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.c(torch.cat([x, F.interpolate(m.b(F.max_pool2d(x, 2)), scale_factor=2)], 1))


def _two_outputs(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = m.a(x)
    return m.b(x), m.c(x).flatten(1)


def _places(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = m.c(m.a(x))
    return x, x.argmax(1)


def mixed(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Residual, chunks, a pooling that rounds up, two squeezes; two outputs."""
    x = m.a(x)
    left, right = (x + m.b(x)).chunk(2, 1)
    x = F.max_pool2d(torch.cat([left, F.dropout(F.relu6(right), training=m.training)], 1), 3, 2, ceil_mode=True)
    x = m.c(x)
    return m.fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)), m.fc2(x.view(x.size(0), -1))


def shuffled(m: Any, x: Tensor) -> Tensor:
    """Channel shuffle, nearest interpolation, padding, computed shapes, the mean of rows and columns."""
    x = F.interpolate(_shuffle(m, F.pad(x, (1, 1, 1, 1))), scale_factor=2.0)
    return m.fc(m.d(x).mean((2, 3)))


def small() -> dict[str, nn.Module]:
    """Most of the forms in two networks, for the suite."""
    parts = {"a": block(3, 8), "b": block(8, 8), "c": block(8, 8), "fc": nn.Linear(8, 5), "fc2": nn.Linear(8 * 64, 4)}
    shuffle = {"a": block(3, 8, 2), "c": nn.Conv2d(8, 8, 3, groups=2), "d": block(8, 8, 2), "fc": nn.Linear(8, 5)}
    return {"mixed": Net(mixed, **parts), "shuffled": Net(shuffled, **shuffle)}


def _acts(*acts: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(block(3, 8), *(block(8, 8, act=act) for act in acts), head(8))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "conv_bn_relu": lambda: nn.Sequential(block(3, 8), block(8, 12, 2), head(12)),
    "residual": lambda: Net(
        _residual,
        a=block(3, 8),
        b=block(8, 8),
        c=nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)),
        head=head(8),
    ),
    "view": lambda: Net(
        lambda m, x: m.fc(F.max_pool2d(m.a(x), 2).view(x.size(0), -1)), a=block(3, 4), fc=nn.Linear(256, 5)
    ),
    "view_of_numbers": lambda: Net(
        lambda m, x: m.fc(F.max_pool2d(m.a(x), 2).view(-1, 256)), a=block(3, 4), fc=nn.Linear(256, 5)
    ),
    "computed_shape": lambda: Net(_computed_shape, a=block(3, 4), fc=nn.Linear(256, 5)),
    "adaptive_average": lambda: nn.Sequential(block(3, 4), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)),
    "adaptive_maximum": lambda: nn.Sequential(block(3, 4), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 5)),
    "mean": lambda: Net(lambda m, x: m.fc(m.a(x).mean((2, 3))), a=block(3, 8), fc=nn.Linear(8, 5)),
    "leaky_relu": lambda: _acts(lambda: nn.LeakyReLU(0.1), nn.LeakyReLU),
    "prelu": lambda: _acts(lambda: nn.PReLU(8), nn.PReLU),
    "hard_swish": lambda: _acts(nn.Hardswish, nn.Hardsigmoid),
    "silu": lambda: _acts(nn.SiLU),
    "sigmoid": lambda: _acts(nn.Sigmoid, nn.Tanh),
    "relu6": lambda: _acts(nn.ReLU6, lambda: nn.Hardtanh(-1, 1)),
    "squeeze_excitation": lambda: nn.Sequential(
        block(3, 16), Gate(16, nn.Sigmoid()), block(16, 8), Gate(8, nn.Hardsigmoid()), head(8)
    ),
    "dropout": lambda: nn.Sequential(
        block(3, 4, 2), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5)
    ),
    "conv_transpose": lambda: nn.Sequential(
        block(3, 8, 2), nn.ConvTranspose2d(8, 6, 2, 2), nn.ReLU(), nn.Conv2d(6, 3, 1)
    ),
    "channel_shuffle": lambda: Net(_shuffle, a=block(3, 8), c=nn.Conv2d(8, 8, 3, groups=2)),
    "pixel_shuffle": lambda: nn.Sequential(block(3, 8), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2)),
    "upsampling": lambda: nn.Sequential(block(3, 8, 2), nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1)),
    "u_net": lambda: Net(_u_net, a=block(3, 4), b=block(4, 8), c=nn.Conv2d(12, 3, 1)),
    "split": lambda: Net(_split, a=block(3, 8), b=block(4, 4), c=nn.Conv2d(8, 4, 1)),
    "two_outputs": lambda: Net(
        _two_outputs, a=block(3, 8), b=nn.Conv2d(8, 4, 1), c=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 1))
    ),
    "largest": lambda: Net(_places, a=block(3, 8), c=head(8)),
    "softmax": lambda: nn.Sequential(block(3, 8), nn.MaxPool2d(3, 2, ceil_mode=True), head(8), nn.Softmax(1)),
    "padding": lambda: Net(
        lambda m, x: m.c(F.pad(m.a(F.pad(x, (1, 1, 1, 1))), (0, 1, 0, 1))),
        a=nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()),
        c=nn.Conv2d(8, 4, 3, 2),
    ),
    "instance_norm": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)),
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)
    ),
    **{name: (lambda name=name: small()[name]) for name in ("mixed", "shuffled")},  # type: ignore[misc]
}


def trained(made: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Tensor]:
    """With random weights and true statistics of BatchNorm, and 24 images."""
    torch.manual_seed(seed)
    model, images = made(), torch.randn(24, *IMAGE)
    model.train()
    with torch.no_grad():
        model(images)
    return model.eval(), images


def export(model: nn.Module, images: Tensor, path: Path, *, dynamo: bool, open_batch: bool) -> None:
    """With the names that PyTorch gives."""
    options: dict[str, Any] = {"dynamo": dynamo, "verbose": False, "input_names": ["input"]}
    if open_batch:
        given = {0: torch.export.Dim.AUTO}
        options |= {"dynamic_shapes": (given,)} if dynamo else {"dynamic_axes": {"input": {0: "N"}}}
    count = 2 if open_batch else 1
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters', of themselves
            torch.onnx.export(model, (images[:count],), str(path), **options)
    finally:
        logging.disable(logging.NOTSET)
