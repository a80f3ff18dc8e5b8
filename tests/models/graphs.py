"""Whole networks as accelerator graphs with random weights: what the compiler gets, without TVM before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.models.resnets import resnet_graph
from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, Dense, MaxPool2d, Reshape, Window
from tvm_re2na.codegen.graph.pixels import Upsample2d
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d

# expansion, channels, blocks, stride of the first, kernel
MOBILE = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3)),
    *((6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)),
)
EFFICIENT = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
    *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
)
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class GraphMaker:
    """Appends operators with seeded weights; results of convolutions are at least 0 unless `lo` says otherwise."""

    def __init__(self, name: str, size: int, batch: int, channels: int = 3) -> None:
        self.rng = np.random.default_rng(0)
        self.builder = GraphBuilder(name)
        self.input = self.builder.input("input", (batch, channels, size, size))
        self.count = 0

    def channels(self, x: str) -> int:
        return self.builder.shape(x)[1]

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        lo: int = 0,
        pad: int | None = None,
    ) -> str:
        depth, name = self.channels(x) // groups, self.name("conv")
        pads = (kernel // 2 if pad is None else pad,) * 4
        return self.builder.append(
            Conv2d(
                name,
                (x,),
                name,
                self._weight(channels, depth, kernel, kernel),
                self._bias(channels),
                Window((kernel, kernel), (stride, stride), pads),
                groups,
                _cut(depth * kernel * kernel, lo),
            )
        )

    def up_conv(self, x: str, channels: int) -> str:
        """Twice as many rows and columns."""
        name, depth = self.name("up"), self.channels(x)
        weight, window = self._weight(channels, depth, 2, 2), Window((2, 2), (2, 2))
        return self.builder.append(
            ConvTranspose2d(name, (x,), name, weight, self._bias(channels), window, 1, _cut(depth, -128))
        )

    def dense(self, x: str, outputs: int, lo: int = 0) -> str:
        shape, name = self.builder.shape(x), self.name("dense")
        inputs = math.prod(shape[1:])
        if len(shape) == 4:
            x = self.builder.append(Reshape(f"{name}.flat", (x,), f"{name}.flat", (shape[0], inputs)))
        weight = self._weight(outputs, inputs)
        return self.builder.append(Dense(name, (x,), name, weight, self._bias(outputs), _cut(inputs, lo)))

    def max_pool(self, x: str, kernel: int, stride: int, padding: int = 0) -> str:
        name = self.name("pool")
        window = Window((kernel, kernel), (stride, stride), (padding,) * 4)
        return self.builder.append(MaxPool2d(name, (x,), name, window))

    def average(self, x: str) -> str:
        """Over all pixels."""
        _, channels, height, width = self.builder.shape(x)
        ones, name = np.ones((channels, 1, height, width), np.int8), self.name("average")
        window, bias = Window((height, width)), np.zeros(channels, np.int32)
        return self.builder.append(Conv2d(name, (x,), name, ones, bias, window, channels, Cut(5)))

    def add(self, *operands: str) -> str:
        name = self.name("add")
        return self.builder.append(Add(name, operands, name, (0, 0)))

    def concat(self, *operands: str) -> str:
        name = self.name("concat")
        return self.builder.append(Concat(name, operands, name))

    def half(self, x: str, part: int) -> str:
        """Of the channels."""
        name, count = self.name("half"), self.channels(x) // 2
        return self.builder.append(Select(name, (x,), name, np.arange(count) + part * count))

    def upsample(self, x: str) -> str:
        name = self.name("resize")
        return self.builder.append(Upsample2d(name, (x,), name, (2, 2)))

    def build(self, *outputs: str) -> Graph:
        return self.builder.build(outputs)

    def _weight(self, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return self.rng.integers(-9, 10, shape).astype(np.int8)

    def _bias(self, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return self.rng.integers(-900, 900, channels).astype(np.int32)


def _cut(k: int, lo: int) -> Cut:
    return Cut(3 + int(np.log2(k)) // 2, lo)


def lenet5(size: int = 28, batch: int = 1) -> Graph:
    net = GraphMaker("lenet5", size, batch, channels=1)
    x = net.max_pool(net.conv(net.input, 6, 5), 2, 2)
    x = net.max_pool(net.conv(x, 16, 5, pad=0), 2, 2)
    return net.build(net.dense(net.dense(net.dense(x, 120), 84), 10, -128))


def vgg16(size: int = 224, batch: int = 1) -> Graph:
    net = GraphMaker("vgg16", size, batch)
    x = net.input
    for channels in VGG16:
        x = net.conv(x, channels, 3) if channels else net.max_pool(x, 2, 2)
    return net.build(net.dense(net.dense(net.dense(x, 4096), 4096), 1000, -128))


def inverted_residuals(
    name: str, blocks: Sequence[tuple[int, int, int, int, int]], size: int = 224, batch: int = 1
) -> Graph:
    """MobileNetV2 and its descendants."""
    net = GraphMaker(name, size, batch)
    x = net.conv(net.input, 32, 3, 2)
    for expand, channels, count, first, kernel in blocks:
        for number in range(count):
            stride, hidden = (first if number == 0 else 1), net.channels(x) * expand
            y = net.conv(x, hidden) if expand > 1 else x
            y = net.conv(net.conv(y, hidden, kernel, stride, groups=hidden), channels, lo=-128)
            x = net.add(y, x) if stride == 1 and net.channels(x) == channels else y
    return net.build(net.dense(net.average(net.conv(x, 1280)), 1000, -128))


def squeezenet(size: int = 224, batch: int = 1) -> Graph:
    """SqueezeNet 1.1."""
    net = GraphMaker("squeezenet", size, batch)
    x = net.conv(net.input, 64, 3, 2, pad=0)
    for number, (squeeze, expand) in enumerate(FIRES):
        if number in (0, 2, 4):
            x = net.max_pool(x, 3, 2)
        y = net.conv(x, squeeze)
        x = net.concat(net.conv(y, expand), net.conv(y, expand, 3))
    return net.build(net.average(net.conv(x, 1000)))


def u_net(size: int = 96, batch: int = 1, width: int = 16) -> Graph:
    """Three levels, transposed convolutions on the way up, skips concatenated; a class for each pixel."""
    net = GraphMaker("u_net", size, batch)
    x, kept = net.input, []
    for channels in (width, 2 * width, 4 * width):
        kept.append(net.conv(net.conv(x, channels, 3), channels, 3))
        x = net.max_pool(kept[-1], 2, 2)
    x = net.conv(net.conv(x, 8 * width, 3), 8 * width, 3)
    for skip in reversed(kept):
        channels = net.channels(skip)
        x = net.concat(skip, net.up_conv(x, channels))
        x = net.conv(net.conv(x, channels, 3), channels, 3)
    return net.build(net.conv(x, 3, lo=-128))


def _csp(net: GraphMaker, x: str, made: int, shortcut: bool = True) -> str:
    """YOLO's unit: the channels split, half of them through a bottleneck, all that came up concatenated."""
    y = net.conv(x, made)
    left, right = net.half(y, 0), net.half(y, 1)
    deep = net.conv(net.conv(right, made // 2, 3), made // 2, 3)
    return net.conv(net.concat(left, right, net.add(right, deep) if shortcut else deep), made)


def yolo(size: int = 160, batch: int = 1, width: int = 16, made: int = 24) -> Graph:
    """Backbone, spatial pyramid of poolings, features up and down again, a head at each of two sizes."""
    net = GraphMaker("yolo", size, batch)
    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    stem = _csp(net, net.conv(net.conv(net.input, a, 3, 2), b, 3, 2), b)
    middle = _csp(net, net.conv(stem, c, 3, 2), c)
    pools = [net.conv(_csp(net, net.conv(middle, d, 3, 2), d), c)]
    for _ in range(3):
        pools.append(net.max_pool(pools[-1], 5, 1, 2))
    deep = net.conv(net.concat(*pools), d)
    fine = _csp(net, net.concat(net.upsample(deep), middle), c, shortcut=False)
    coarse = _csp(net, net.concat(net.conv(fine, c, 3, 2), deep), d, shortcut=False)
    return net.build(net.conv(fine, made, lo=-128), net.conv(coarse, made, lo=-128))


# by name: a graph for so many images, at the size that benchmarks/machines.py looks at
GRAPHS: dict[str, Callable[[int], Graph]] = {
    "lenet5": lambda batch: lenet5(batch=batch),
    "resnet18": lambda batch: resnet_graph(18, batch=batch),
    "resnet18_448": lambda batch: resnet_graph(18, 448, batch),
    "resnet50": lambda batch: resnet_graph(50, batch=batch),
    "mobilenet_v2": lambda batch: inverted_residuals("mobilenet_v2", MOBILE, batch=batch),
    "efficientnet_lite0": lambda batch: inverted_residuals("efficientnet_lite0", EFFICIENT, batch=batch),
    "vgg16": lambda batch: vgg16(batch=batch),
    "squeezenet": lambda batch: squeezenet(batch=batch),
    "u_net": lambda batch: u_net(batch=batch),
    "yolo": lambda batch: yolo(batch=batch),
}
