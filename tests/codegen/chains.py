"""Random chains of convolutions whose layers do not fit a small machine together."""

from __future__ import annotations

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, MaxPool2d, Window


def random_chain(rng: np.random.Generator) -> Graph:
    """Convolutions of 1 x 1 and 3 x 3, now and then with a stride, a pooling or a depthwise one behind, an addition around two."""
    builder, size = GraphBuilder("chain"), int(rng.integers(8, 20))
    x = builder.input("x", (int(rng.integers(1, 3)), int(rng.choice([8, 16, 32, 64])), size, size))
    before = ""
    for index in range(int(rng.integers(2, 6))):
        channels = builder.shape(x)[1] if rng.random() < 0.6 else int(rng.choice([8, 16, 32, 64]))
        kernel, stride = int(rng.choice([1, 3])), 2 if rng.random() < 0.1 and builder.shape(x)[2] > 6 else 1
        entered, x = x, append_conv(builder, rng, x, f"conv_{index}", channels, kernel, stride)
        if rng.random() < 0.2:
            x = append_conv(builder, rng, x, f"depthwise_{index}", channels, 3, 1, channels)
        if before and builder.shape(before) == builder.shape(x) and rng.random() < 0.6:
            x = builder.append(Add(f"add_{index}", (before, x), f"add_{index}", (0, 0)))
        if rng.random() < 0.1 and builder.shape(x)[2] > 6:
            x = builder.append(MaxPool2d(f"pool_{index}", (x,), f"pool_{index}", Window((2, 2), (2, 2))))
        before = entered
    return builder.build([x])


def append_conv(
    builder: GraphBuilder,
    rng: np.random.Generator,
    source: str,
    name: str,
    channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """A convolution that keeps the size of the image, but for its stride."""
    weight = rng.integers(1, 100, (channels, builder.shape(source)[1] // groups, kernel, kernel)).astype(np.int8)
    border = kernel // 2
    window = Window((kernel, kernel), (stride, stride), (border, border, border, border))
    return builder.append(Conv2d(name, (source,), name, weight, np.zeros(channels, np.int32), window, groups, Cut(9)))


def small_machine(rng: np.random.Generator) -> Architecture:
    """16 or 64 PEs, so that few sums are under way at a time."""
    side = int(rng.choice([4, 8]))
    return Architecture(
        array_rows=side,
        array_columns=side,
        sram_bytes=int(rng.choice([4, 6, 8, 12, 16, 24, 32])) * 1024,
        dram_bytes_per_cycle=int(rng.choice([1, 8])),
        mac_interval=int(rng.choice([1, 5])),
    )
