"""ResNet-18 to ResNet-152 as accelerator graphs with random weights: what the compiler gets, without TVM before it."""

from __future__ import annotations

import numpy as np

from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, Dense, MaxPool2d, Reshape, Window

# depth: blocks of each of the four stages, and whether they are bottlenecks
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class _Maker:
    def __init__(self, depth: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = GraphBuilder(f"resnet{depth}")
        self.count = 0

    def conv(self, x: str, channels: int, kernel: int, stride: int, lo: int = 0) -> str:
        depth = self.builder.shape(x)[1]
        weight = self.rng.integers(-9, 10, (channels, depth, kernel, kernel)).astype(np.int8)
        bias = self.rng.integers(-900, 900, channels).astype(np.int32)
        pad = kernel // 2
        window = Window((kernel, kernel), (stride, stride), (pad, pad, pad, pad))
        lsb = 3 + int(np.log2(depth * kernel * kernel)) // 2
        self.count += 1
        name = f"conv_{self.count}"
        return self.builder.append(Conv2d(name, (x,), name, weight, bias, window, 1, Cut(lsb, lo)))

    def block(self, x: str, channels: int, stride: int, bottleneck: bool) -> str:
        out = channels * 4 if bottleneck else channels
        if bottleneck:
            y = self.conv(self.conv(x, channels, 1, 1), channels, 3, stride)
            y = self.conv(y, out, 1, 1, -128)
        else:
            y = self.conv(self.conv(x, channels, 3, stride), channels, 3, 1, -128)
        same = stride == 1 and self.builder.shape(x)[1] == out
        shortcut = x if same else self.conv(x, out, 1, stride, -128)
        self.count += 1
        return self.builder.append(Add(f"add_{self.count}", (y, shortcut), f"add_{self.count}", (0, 0), 0))


def resnet_graph(depth: int, size: int = 224, batch: int = 1, seed: int = 0) -> Graph:
    """One of DEPTHS for `batch` images of 3 x size x size, ending in 1000 classes; int8 weights, seeded."""
    blocks, bottleneck = DEPTHS[depth]
    maker = _Maker(depth, seed)
    builder = maker.builder
    x = maker.conv(builder.input("input", (batch, 3, size, size)), 64, 7, 2)
    x = builder.append(MaxPool2d("pool", (x,), "pool", Window((3, 3), (2, 2), (1, 1, 1, 1))))
    for stage, count in enumerate(blocks):
        for number in range(count):
            x = maker.block(x, 64 << stage, 2 if stage and not number else 1, bottleneck)
    channels, height, width = builder.shape(x)[1:]
    ones = np.ones((channels, 1, height, width), np.int8)
    average = Conv2d(
        "average", (x,), "average", ones, np.zeros(channels, np.int32), Window((height, width)), channels, Cut(5)
    )
    x = builder.append(average)
    x = builder.append(Reshape("flat", (x,), "flat", (batch, channels)))
    weight = maker.rng.integers(-9, 10, (1000, channels)).astype(np.int8)
    return builder.build([builder.append(Dense("fc", (x,), "fc", weight, np.zeros(1000, np.int32), Cut(8)))])
