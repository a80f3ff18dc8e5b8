"""Concatenations and choices of channels: nothing is moved where readers and writers can do with parts of one stored tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from tests.codegen.test_bounds import dram_bytes
from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.bounds import network_bounds
from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import (
    Add,
    Clip,
    Conv2d,
    Cut,
    Dense,
    GraphError,
    MaxPool2d,
    Reshape,
    Window,
)
from tvm_re2na.codegen.graph.pixels import Pad, Upsample2d
from tvm_re2na.codegen.schedule.units import make_units

POINT, SAME = Window((1, 1)), Window((3, 3), padding=(1, 1, 1, 1))
DOWN = Window((3, 3), (2, 2), (1, 1, 1, 1))


class Net:
    """Names operators as it goes; every method returns a tensor."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(5)
        self.builder = GraphBuilder("net")
        self.x = self.builder.input("x", shape)
        self.count = 0

    def head(self, *inputs: str) -> tuple[str, tuple[str, ...], str]:
        self.count += 1
        return f"op{self.count}", inputs, f"t{self.count}"

    def conv(self, x: str, outputs: int, window: Window = POINT, groups: int = 1) -> str:
        depth = self.builder.shape(x)[1] // groups
        weight = self.rng.integers(-9, 10, (outputs, depth, *window.kernel)).astype(np.int8)
        bias = self.rng.integers(-99, 100, outputs).astype(np.int32)
        return self.builder.append(Conv2d(*self.head(x), weight, bias, window, groups, Cut(6)))

    def depthwise(self, x: str, window: Window = SAME) -> str:
        channels = self.builder.shape(x)[1]
        return self.conv(x, channels, window, channels)

    def dense(self, x: str, outputs: int) -> str:
        weight = self.rng.integers(-9, 10, (outputs, self.builder.shape(x)[1])).astype(np.int8)
        return self.builder.append(Dense(*self.head(x), weight, np.zeros(outputs, np.int32), Cut(6)))

    def concat(self, *inputs: str) -> str:
        return self.builder.append(Concat(*self.head(*inputs)))

    def select(self, x: str, channels: object) -> str:
        return self.builder.append(Select(*self.head(x), np.asarray(channels)))

    def halves(self, x: str) -> tuple[str, str]:
        channels = self.builder.shape(x)[1]
        return self.select(x, range(channels // 2)), self.select(x, range(channels // 2, channels))

    def shuffle(self, x: str) -> str:
        channels = self.builder.shape(x)[1]
        return self.select(x, np.arange(channels).reshape(2, -1).T.ravel())

    def build(self, *outputs: str) -> Graph:
        return self.builder.build(outputs)


def fire() -> Graph:
    """SqueezeNet's."""
    net = Net(1, 8, 9, 9)
    x = net.conv(net.x, 4)
    x = net.concat(net.conv(x, 12), net.conv(x, 20, SAME))
    return net.build(net.conv(x, 6, SAME))


def inception() -> Graph:
    """A pooling among the branches, and one joined with its convolution."""
    net = Net(2, 8, 10, 10)
    pooled = net.builder.append(MaxPool2d(*net.head(net.x), SAME))
    x = net.concat(net.conv(net.x, 5), net.conv(net.conv(net.x, 6), 7, SAME), net.conv(pooled, 9))
    pooled = net.builder.append(MaxPool2d(*net.head(net.conv(x, 70)), Window((2, 2), (2, 2))))
    y = net.builder.append(MaxPool2d(*net.head(x), Window((2, 2), (2, 2))))
    return net.build(net.conv(net.concat(y, pooled), 8))


def dense_block() -> Graph:
    """Each layer reads all that there is, and adds to it."""
    net = Net(1, 8, 7, 7)
    x = net.conv(net.x, 10)
    for _ in range(4):
        x = net.concat(x, net.conv(net.conv(net.depthwise(x, POINT), 8), 4, SAME))
    return net.build(net.conv(x, 8))


def shuffled() -> Graph:
    """ShuffleNetV2's second stage: a half goes through, the other one through three convolutions."""
    net = Net(1, 8, 12, 12)
    left = net.conv(net.depthwise(net.x, DOWN), 12)
    right = net.conv(net.depthwise(net.conv(net.x, 12), DOWN), 12)
    x = net.shuffle(net.concat(left, right))
    for _ in range(3):
        through, worked = net.halves(x)
        x = net.shuffle(net.concat(through, net.conv(net.depthwise(net.conv(worked, 12)), 12)))
    return net.build(net.conv(x, 20))


def split_block() -> Graph:
    """YOLO's: the halves of a convolution, additions along one of them, all of it side by side."""
    net = Net(1, 6, 10, 10)
    left, right = net.halves(net.conv(net.x, 16))
    parts = [left, right]
    for _ in range(2):
        worked = net.conv(net.conv(parts[-1], 8, SAME), 8, SAME)
        parts.append(net.builder.append(Add(*net.head(parts[-1], worked), (0, 0))))
    return net.build(net.conv(net.concat(*parts), 10))


def u_shape() -> Graph:
    """Down and up again, beside what was there."""
    net = Net(1, 4, 16, 16)
    fine = net.conv(net.x, 8, SAME)
    coarse = net.conv(net.builder.append(MaxPool2d(*net.head(fine), Window((2, 2), (2, 2)))), 12, SAME)
    up = net.builder.append(Upsample2d(*net.head(coarse), (2, 2)))
    return net.build(net.conv(net.concat(up, fine), 6, SAME))


FREE = [fire, inception, dense_block, shuffled, split_block, u_shape]


def count(graph: Graph) -> Counter[str]:
    return Counter(unit.kind for unit in make_units(graph, Architecture()).units)


@pytest.mark.parametrize("network", FREE)
def test_nothing_is_moved(network: Callable[[], Graph]) -> None:
    """As many units as there are operators that compute, and no byte but inputs, outputs and weights."""
    graph = network()
    program = check(graph, Architecture())
    adds = [op for op in graph.ops if op.kind == "add"]
    pools = [op for op in graph.ops if op.kind == "max_pool2d"]
    joined = count(graph)["conv+add"] + count(graph)["conv+pool"]
    assert count(graph)["pool"] + count(graph)["eltwise"] + joined == len(adds) + len(pools)
    assert sum(kinds.startswith("conv") for kinds in count(graph).elements()) == sum(
        op.kind == "conv2d" for op in graph.ops
    )
    weights = sum(np.prod(op.weight.shape) + 4 * len(op.bias) for op in graph.ops if isinstance(op, Conv2d))
    border = sum(np.prod(graph.shapes[name]) for name in (*graph.inputs, *graph.outputs))
    masks = weights // 8  # steps of zeros
    assert dram_bytes(program) <= weights + border + masks


@pytest.mark.parametrize("network", FREE)
@pytest.mark.parametrize("sram", [3000, 4000, 7000])
def test_in_little_memory(network: Callable[[], Graph], sram: int) -> None:
    """Bundles in DRAM, strips, and images one after the other."""
    check(network(), Architecture(sram_bytes=sram * (2 if network is inception else 1)))


def test_a_growing_tensor_is_one_stored_tensor() -> None:
    stored = make_units(dense_block(), Architecture()).stored
    assert max(tensor.shape[1] for tensor in stored.values()) == 10 + 4 * 4
    assert len(stored) == 1 + 1 + 4 * 2 + 1  # input, bundle, two convolutions of each layer, output


def moved(kind: str) -> Graph:
    """What has to be made once more: what cannot lie beside others, or does not lie as its reader wants it."""
    net = Net(2, 6, 8, 8)
    x, y = net.conv(net.x, 6), net.conv(net.x, 5)
    if kind == "the network's input":
        return net.build(net.conv(net.concat(net.x, x), 4))
    if kind == "a sum of two tensors that are there":
        left, right = net.conv(net.x, 6), net.builder.append(MaxPool2d(*net.head(net.x), SAME))
        added = net.builder.append(Add(*net.head(right, net.builder.append(Clip(*net.head(left), 0, 9))), (1, 0)))
        return net.build(net.conv(net.concat(added, x), 4))
    if kind == "an output of scattered channels":
        return net.build(net.select(net.concat(x, y), [7, 2, 0, 10]))
    if kind == "one tensor twice":
        return net.build(net.conv(net.concat(x, x), 4))
    if kind == "scattered channels of a depthwise convolution":
        return net.build(net.depthwise(net.select(net.concat(x, y), [0, 9, 4])))
    if kind == "rows for channels":
        flat = net.builder.append(Reshape(*net.head(net.select(x, [1, 2])), (2, 2, 4, 16)))
        other = net.builder.append(Reshape(*net.head(x), (2, 6, 4, 16)))
        return net.build(net.conv(net.concat(flat, other), 4))
    flat = net.builder.append(Reshape(*net.head(net.concat(x, y)), (2, 11 * 64)))
    return net.build(net.dense(net.concat(flat, net.dense(flat, 7)), 9))


def test_what_was_made_long_before_is_copied_where_all_of_it_does_not_fit() -> None:
    """The finer map goes to DRAM and back alone, and the cascade at the end holds some rows of both."""
    net = Net(1, 4, 32, 32)
    fine = net.conv(net.conv(net.x, 16, SAME), 16, SAME)
    coarse = net.conv(net.builder.append(MaxPool2d(*net.head(fine), Window((2, 2), (2, 2)))), 32, SAME)
    up = net.builder.append(Upsample2d(*net.head(coarse), (2, 2)))
    graph = net.build(net.conv(net.conv(net.concat(up, fine), 8, SAME), 4, SAME))
    arch = Architecture(sram_bytes=40 * 1024)
    program = check(graph, arch)
    weights = sum(op.weight.size + 4 * len(op.bias) for op in graph.ops if isinstance(op, Conv2d))
    once = 16 * 32 * 32
    assert dram_bytes(program) <= weights + 8 * 32 * 32 + 3 * once


def test_parts_of_a_tensor_between_units_are_made_in_its_buffer() -> None:
    """Two branches and what reads both: nothing of them goes to DRAM, and none exists as a whole."""
    net = Net(1, 4, 40, 40)
    x = net.concat(net.conv(net.x, 16, SAME), net.conv(net.x, 16))
    graph = net.build(net.conv(x, 4, SAME))
    program = check(graph, Architecture(sram_bytes=24 * 1024))
    weights = sum(op.weight.size + 4 * len(op.bias) for op in graph.ops if isinstance(op, Conv2d))
    assert program.meta["total"]["sram_peak_bytes"] < 32 * 40 * 40
    assert dram_bytes(program) <= weights + 2 * 4 * 40 * 40 * 1.25


KINDS = [
    "the network's input",
    "a sum of two tensors that are there",
    "an output of scattered channels",
    "one tensor twice",
    "scattered channels of a depthwise convolution",
    "rows for channels",
    "an image in a row beside a vector",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sram", [6000, 1536 * 1024])
def test_what_has_to_be_made_once_more(kind: str, sram: int) -> None:
    check(moved(kind), Architecture(sram_bytes=sram))


def test_channels_of_one_operator_in_another_order_stay_where_they_are() -> None:
    """Operators that work on each channel by itself make them in the order in which they lie."""
    net = Net(1, 4, 6, 6)
    x = net.concat(net.conv(net.x, 4), net.conv(net.x, 6))
    for op in ("depthwise", "pool", "pad", "upsample", "clip"):
        x = net.select(x, net.rng.permutation(10))
        x = {
            "depthwise": lambda x: net.depthwise(x, DOWN),
            "pool": lambda x: net.builder.append(MaxPool2d(*net.head(x), SAME, -9)),
            "pad": lambda x: net.builder.append(Pad(*net.head(x), (1, 0, 1, 2))),
            "upsample": lambda x: net.builder.append(Upsample2d(*net.head(x), (1, 2))),
            "clip": lambda x: net.builder.append(Clip(*net.head(x), -20, 30)),
        }[op](x)
    graph = net.build(net.conv(x, 3))
    check(graph, Architecture())
    assert count(graph) == Counter({"conv": 4, "pool": 3, "upsample": 1})


def test_an_output_beside_another_is_stored_once_in_the_bound() -> None:
    net = Net(1, 4, 6, 6)
    x, y = net.conv(net.x, 4), net.conv(net.x, 6)
    graph = net.build(net.concat(x, y), net.select(y, [0, 1]))
    program = check(graph, Architecture())
    weights = 4 * 10 + 4 * 10  # and biases
    bound = network_bounds(graph, program.arch)
    assert bound.dram_bytes == 4 * 36 + 10 * 36 + weights
    assert [layer.dram_bytes_compulsory for layer in bound.layers[2:]] == [0, 0]


def test_a_stride_has_16_bits() -> None:
    """Together they would be further from pixel to pixel than an instruction can say."""
    net = Net(1, 2, 1, 2)
    parts = [net.conv(net.x, 30000) for _ in range(3)]
    graph = net.build(net.conv(net.concat(parts[0], parts[1]), 2), net.conv(net.concat(parts[1], parts[2]), 2))
    stored = make_units(graph, Architecture()).stored
    assert max(tensor.shape[1] for tensor in stored.values()) == 60000


@pytest.mark.parametrize("shapes", [[(1, 2, 3, 3), (1, 2, 3, 4)], [(1, 2, 3, 3), (2, 2, 3, 3)], [(1, 2, 1, 1), (1, 2)]])
def test_what_differs_in_more_than_channels_is_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(GraphError, match=r"both: operands of shapes .* differ in more than channels"):
        Concat("both", ("a", "b"), "c").infer(shapes)


@pytest.mark.parametrize("channels", [[0, 4], [-1], [], [[0]]])
def test_channels_that_are_not_there_are_refused(channels: list[int]) -> None:
    with pytest.raises(GraphError, match=r"some: channels .* are selected, there are 4"):
        Select("some", ("a",), "b", np.asarray(channels, np.int64)).infer([(1, 4, 2, 2)])
