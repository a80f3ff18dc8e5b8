"""What the search is for: cascades, shared places, pinned weights, dropped steps, shapes, batches. Bits are checked each time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.codegen.test_bounds import SAME, dram_bytes, zeroed
from tests.codegen.test_compiler import check, conv_graph
from tests.models.graphs import GRAPHS
from tests.models.resnets import resnet_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph, compile_in_passes
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, Dense, MaxPool2d, Window
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import Simulator


def excess(program: Program) -> int:
    """DRAM bytes beyond the compulsory ones."""
    return dram_bytes(program) - program.meta["total"]["dram_bytes_compulsory"]


def counts(program: Program) -> Counter[str]:
    return Counter(at.name for at in program.instructions)


class Net:
    """A graph of layers one behind the other, of small random weights."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.builder = GraphBuilder("net")
        self.input = self.builder.input("x", shape)
        self.count = 0

    def conv(self, x: str, channels: int, window: Window = SAME, groups: int = 1) -> str:
        self.count += 1
        shape = (channels, self.builder.shape(x)[1] // groups, *window.kernel)
        weight = self.rng.integers(-9, 10, shape).astype(np.int8)
        bias = self.rng.integers(-99, 99, channels).astype(np.int32)
        name = f"conv{self.count}"
        return self.builder.append(Conv2d(name, (x,), name, weight, bias, window, groups, Cut(6, 0)))

    def pool(self, x: str, window: Window) -> str:
        self.count += 1
        name = f"pool{self.count}"
        return self.builder.append(MaxPool2d(name, (x,), name, window))

    def add(self, a: str, b: str) -> str:
        self.count += 1
        name = f"add{self.count}"
        return self.builder.append(Add(name, (a, b), name, (1, 0), 0))


def vgg_like() -> Graph:
    """Activations of 64 KiB between its layers."""
    net = Net((1, 3, 32, 32))
    x = net.conv(net.conv(net.input, 64), 64)
    return net.builder.build([net.pool(x, Window((2, 2), (2, 2)))])


def test_layers_larger_than_the_memory_are_cascaded_and_nothing_spills() -> None:
    program = check(vgg_like(), Architecture(sram_bytes=80 * 1024))
    assert excess(program) == 0
    assert counts(program)["POOL"] > 0, "kept rows move up"


def test_a_cascade_with_overlapping_pooling() -> None:
    net = Net((1, 4, 40, 40))
    x = net.pool(net.conv(net.input, 48, Window((3, 3), (1, 1), (1, 0, 1, 2))), Window((3, 3), (2, 2), (1, 1, 1, 1)))
    program = check(net.builder.build([net.conv(x, 16)]), Architecture(sram_bytes=56 * 1024))
    assert excess(program) == 0


def residual(batch: int = 1, size: int = 24) -> Graph:
    net = Net((batch, 32, size, size))
    x = net.conv(net.input, 32)
    for _ in range(2):
        x = net.add(net.conv(net.conv(x, 32), 32), x)
    return net.builder.build([x])


def test_a_residual_block_is_cascaded_with_its_operand() -> None:
    graph = residual()
    program = check(graph, Architecture(sram_bytes=62 * 1024))  # a map takes 18 KiB, a layer's weights 9 KiB
    assert excess(program) == 0
    assert counts(program)["ELTWISE"] == 0, "the sums leave through the output path"


def test_an_output_moves_into_the_place_of_its_input() -> None:
    graph = conv_graph(1, 64, 32, 64, SAME)  # 64 KiB in, 64 KiB out, 36 KiB of weights
    program = check(graph, Architecture(sram_bytes=128 * 1024))
    stored = {at["in_addr"] for at in program.instructions if at.name == "CONV"}
    assert excess(program) == 0 and len(stored) > 1


@pytest.mark.parametrize("sram", [1536, 130, 90, 70, 60, 48, 40])
def test_a_batch_loads_its_weights_once_where_it_can(sram: int) -> None:
    program = check(residual(3), Architecture(sram_bytes=sram * 1024))
    assert excess(program) == 0 or sram < 110


def test_zero_steps_of_a_block_are_dropped_from_the_stream() -> None:
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    dense, sparse = conv_graph(1, 32, 20, 128, window), zeroed(conv_graph(1, 32, 20, 128, window), 200)
    steps = [
        {at["steps"] for at in check(graph, Architecture()).instructions if at.name == "CONV"}
        for graph in (dense, sparse)
    ]
    assert steps == [{288}, {288, 88}]
    assert excess(check(sparse, Architecture(sram_bytes=96 * 1024))) == 0


@pytest.mark.parametrize("acc_overflow", ["wrap", "saturate"])
def test_a_block_without_any_weight_is_its_bias(acc_overflow: str) -> None:
    check(zeroed(conv_graph(1, 8, 9, 70, SAME), 72), Architecture.from_dict({"acc_overflow": acc_overflow}))


def test_a_shape_with_fewer_rows_serves_few_channels() -> None:
    graph = conv_graph(1, 16, 32, 16, SAME)
    plain = check(graph, Architecture())
    shaped = check(graph, Architecture.from_dict({"array_shapes": ["16x256", "32x128"]}))
    assert Simulator(shaped).timing.cycles < 0.4 * Simulator(plain).timing.cycles
    assert {at["rows"] for at in shaped.instructions if at.name == "CONV"} == {16}


def test_a_small_dense_layer_begins_before_all_of_its_weights_are_there() -> None:
    weight = np.random.default_rng(0).integers(-5, 6, (120, 400)).astype(np.int8)
    builder = GraphBuilder("dense")
    x = builder.input("x", (1, 400))
    builder.append(Dense("fc", (x,), "y", weight, np.zeros(120, np.int32), Cut(5)))
    program = check(builder.build(["y"]), Architecture(dram_bytes_per_cycle=16))
    assert counts(program)["DENSE"] > 4
    assert Simulator(program).timing.cycles < 1.06 * program.meta["total"]["cycles_bound"]


def test_pooling_and_addition_leave_through_the_output_path() -> None:
    net = Net((1, 16, 12, 12))
    x = net.conv(net.input, 16)
    x = net.add(x, net.conv(x, 16))
    x = net.pool(net.conv(x, 16), Window((2, 2), (2, 2)))
    program = check(net.builder.build([x]), Architecture())
    assert counts(program)["POOL"] == counts(program)["ELTWISE"] == 0
    assert {(at.source, at["pool_h"], at["add"]) for at in program.instructions if at.name == "CONV"} == {
        (0, 1, 0),
        (1, 1, 1),
        (3, 2, 0),
    }


@pytest.mark.parametrize(("size", "batch"), [(224, 1), (512, 1), (224, 4)])
def test_resnet18_needs_no_byte_twice(size: int, batch: int) -> None:
    program = compile_graph(resnet_graph(18, size, batch))
    assert excess(program) == 0
    assert Simulator(program).timing.cycles <= 1.01 * program.meta["total"]["cycles_bound"]


def test_resnet18_keeps_a_pipelined_array_near_its_bound() -> None:
    program = compile_graph(resnet_graph(18), Architecture(mac_interval=1))
    assert Simulator(program).timing.cycles <= 700_000
    assert dram_bytes(program) <= 12_070_000


def test_mobilenet_v2_leaves_room_for_loads_where_the_bus_decides() -> None:
    program = compile_graph(GRAPHS["mobilenet_v2"](1), Architecture(mac_interval=1))
    assert excess(program) == 0
    assert Simulator(program).timing.cycles <= 1.04 * program.meta["total"]["cycles_bound"]


@pytest.mark.parametrize("stride", [(2, 2), (1, 3), (3, 1)])
def test_pixels_that_a_stride_steps_over_are_not_loaded(stride: tuple[int, int]) -> None:
    """The last row and column may be among them; the other operand of the sum comes as a whole."""
    net = Net((2, 48, 23, 24))
    x = net.conv(net.input, 40, Window((1, 1), stride))
    other = net.builder.input("other", net.builder.shape(x))
    program = check(net.builder.build([net.add(x, other)]), Architecture(sram_bytes=12 * 1024))
    assert excess(program) == 0


def test_neither_weights_nor_input_rows_fit() -> None:
    """Strip by strip the weights come again, with the channels of the rows that each part of the sums reads."""
    net = Net((2, 64, 20, 20))
    x = net.conv(net.conv(net.input, 64), 64)
    graph, arch = (
        net.builder.build([net.add(x, net.input)]),
        Architecture(array_rows=16, array_columns=16, sram_bytes=12 * 1024),
    )
    stages = compile_in_passes(graph, arch).plan.stages
    assert all(stage.strips_outer and stage.sliced and len(stage.strips) > 2 for stage in stages)
    check(graph, arch)


def test_a_strip_may_need_no_row_that_is_not_there_already() -> None:
    """The rows that move to its buffer on chip, and none is loaded, keep the next loads waiting all the same."""
    net = Net((2, 32, 13, 13))
    graph = net.builder.build([net.conv(net.input, 32)])
    arch = Architecture(array_rows=8, array_columns=8, sram_bytes=8 * 1024, dram_bytes_per_cycle=2)
    (stage,) = compile_in_passes(graph, arch).plan.stages
    assert stage.keeps
    assert 0 in [stage.loaded_rows(strip, "x") for strip in range(len(stage.strips))]
    check(graph, arch)
