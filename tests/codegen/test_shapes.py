"""One more shape of the array never makes a program slower, on machines of any bandwidth: costs follow the duration table."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.codegen.test_schedule import Net
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.runtime.library import Simulator

SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))
HALF = Window((3, 3), (2, 2), (1, 1, 1, 1))
PIXEL = Window((1, 1))
POOL = Window((2, 2), (2, 2))
ONE, SOME = ("16x256",), ("16x256", "32x128", "128x32")
SHAPES = ((), ONE, ("32x128",), ("128x32",), ("256x16",), ("4x1024", "1024x4"), SOME)
BANDWIDTHS = (32, 128, 512, 4096)  # bytes a cycle of the SRAM
WORSE = 1.01


def layer(channels: int, outputs: int, size: int, window: Window = SAME, groups: int = 1) -> Graph:
    net = Net((1, channels, size, size))
    return net.builder.build([net.conv(net.input, outputs, window, groups)])


def inverted_residuals() -> Graph:
    net = Net((1, 3, 40, 40))
    x = net.conv(net.input, 32, HALF)
    for outputs, window in ((24, SAME), (48, HALF)):
        wide = net.conv(x, 96, PIXEL)
        x = net.conv(net.conv(wide, 96, window, 96), outputs, PIXEL)
    return net.builder.build([x])


def residuals() -> Graph:
    net = Net((3, 3, 32, 32))
    x = net.conv(net.input, 24, HALF)
    x = net.add(net.conv(net.conv(x, 24), 24), x)
    x = net.add(net.conv(net.conv(x, 40, HALF), 40), net.conv(x, 40, Window((1, 1), (2, 2))))
    return net.builder.build([x])


def lenet() -> Graph:
    net = Net((1, 1, 28, 28))
    x = net.pool(net.conv(net.input, 6, Window((5, 5), (1, 1), (2, 2, 2, 2))), POOL)
    x = net.pool(net.conv(x, 16, Window((5, 5))), POOL)
    return net.builder.build([net.conv(net.conv(x, 120, Window((5, 5))), 84, PIXEL)])


GRAPHS: dict[str, Callable[[], Graph]] = {
    "few channels": lambda: layer(64, 48, 32),
    "depthwise": lambda: layer(64, 64, 28, groups=64),
    "groups": lambda: layer(64, 64, 20, groups=4),
    "many channels": lambda: layer(32, 200, 14, PIXEL),
    "small maps": lambda: layer(128, 256, 7),
    "inverted residuals": inverted_residuals,
    "residuals": residuals,
    "lenet": lenet,
}


def cycles(graph: Graph, shapes: tuple[str, ...], bandwidth: int, interval: int, sram: int = 1536) -> int:
    arch = Architecture.from_dict(
        {
            "array_shapes": list(shapes),
            "sram_bytes_per_cycle": bandwidth,
            "mac_interval": interval,
            "sram_bytes": sram * 1024,
        }
    )
    return Simulator(compile_graph(graph, arch)).timing.cycles


@pytest.mark.parametrize("name", GRAPHS)
def test_one_more_shape_never_costs_cycles(name: str) -> None:
    graph, worse, differ = GRAPHS[name](), [], False
    for bandwidth, interval in itertools.product(BANDWIDTHS, (1, 5)):
        found = {shapes: cycles(graph, shapes, bandwidth, interval) for shapes in SHAPES}
        pairs = [((), shapes) for shapes in SHAPES] + [((shape,), SOME) for shape in SOME]
        worse += [
            (bandwidth, interval, fewer, more, found[fewer], found[more])
            for fewer, more in pairs
            if found[more] > WORSE * found[fewer]
        ]
        differ = differ or len(set(found.values())) > 1
    assert not worse
    assert differ, "no shape ever makes a difference"


def test_an_array_that_waits_for_its_operands_keeps_the_shape_that_needs_fewest() -> None:
    """The cases that were found: priced by multiplications alone, the flat shape looked three times as fast as it is."""
    graph = GRAPHS["few channels"]()
    for bandwidth, most in ((128, 11_600), (64, 18_900)):
        assert cycles(graph, ONE, bandwidth, 1) <= cycles(graph, (), bandwidth, 1) <= most
