"""Bounds: what no schedule beats, by hand on small cases and on random networks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.codegen.test_compiler import conv_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import CompileError, compile_graph
from tvm_re2na.codegen.graph.bounds import SLICE_BYTES, network_bounds
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, MaxPool2d, Window
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import Simulator

SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


def dram_bytes(program: Program) -> int:
    moves = [at.values for at in program.instructions if at.name in ("LOAD", "STORE")]
    return sum(at.get("coded", 0) or at["bytes"] * at["rows"] * at["planes"] for at in moves)


def random_machine(rng: np.random.Generator) -> Architecture:
    side = int(rng.choice([16, 64]))
    return Architecture(
        array_rows=side,
        array_columns=side,
        array_shapes=int(rng.choice([0, 0b1000, 0b110000 if side == 64 else 0b100])),
        sram_bytes=int(rng.choice([8, 16, 40, 100])) * 1024,
        mac_interval=int(rng.choice([1, 5])),
        dram_bytes_per_cycle=int(rng.choice([2, 8, 24])),
        activation_table=int(rng.integers(2)),
        channel_cuts=1,
    )


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_no_schedule_of_ours_beats_its_bounds(first: int) -> None:
    for seed in range(first, first + 50):
        rng = np.random.default_rng(seed)
        machine = random_machine(np.random.default_rng(seed))
        graph = random_graph(
            rng, layers=int(rng.integers(2, 10)), size=30, cuts=True, lookups=machine.activation_table == 1
        )
        try:
            program = compile_graph(graph, machine)
        except CompileError:
            continue
        bound = program.meta["total"]
        assert Simulator(program).timing.cycles >= bound["cycles_bound"], seed
        assert dram_bytes(program) >= bound["dram_bytes_compulsory"], seed


def test_a_map_of_7_by_7_takes_a_pass_of_64_columns() -> None:
    bounds = network_bounds(conv_graph(1, 32, 7, 150, SAME), Architecture())
    assert bounds.layers[0].compute_bound == 3 * 1 * 9 * 32 * 5  # 150 outputs in blocks of 64, 49 pixels, k, interval


def test_a_batch_shares_the_columns() -> None:
    bounds = network_bounds(conv_graph(4, 32, 7, 64, SAME), Architecture())
    # 4 x 49 pixels in 4 passes, not one for each image and rest
    assert bounds.layers[0].compute_bound == 4 * 9 * 32 * 5


def test_each_block_fills_and_drains_the_array() -> None:
    bounds = network_bounds(conv_graph(1, 32, 7, 150, SAME), Architecture())
    layer = bounds.layers[0]
    assert layer.fill_bound == 3 * (8 + 5 + 1)  # blocks; fill, latency of a multiplication, a cycle for the results
    assert layer.cycles_bound == layer.compute_bound + layer.fill_bound
    # the first operands, and the last result, take the DRAM's latency
    assert bounds.cycles == layer.cycles_bound + 2 * Architecture().dram_latency + 1


@pytest.mark.parametrize(("interval", "cycles"), [(1, -(-9 * (64 + 64 * 64 * 4 + 3 * 64) // 4096)), (2, 4 * 9 * 2)])
def test_many_groups_wait_for_the_sram(interval: int, cycles: int) -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("depthwise")
    x, window = builder.input("x", (1, 64, 16, 16)), Window((3, 3), (1, 1), (1, 1, 1, 1))
    weight = rng.integers(1, 9, (64, 1, 3, 3)).astype(np.int8)
    y = builder.append(Conv2d("dw", (x,), "y", weight, np.zeros(64, np.int32), window, 64, Cut(3, 0)))
    bounds = network_bounds(builder.build([y]), Architecture(mac_interval=interval))
    # in each of 4 passes and 9 steps 64 weights, and the input of each of 64 groups for each of 64 columns
    assert bounds.layers[0].compute_bound == cycles


def test_what_the_last_byte_is_for_comes_behind_it() -> None:
    """A layer that waits for its weights, on a slow bus."""
    machine = Architecture(dram_bytes_per_cycle=1, dram_latency=1000)
    bounds = network_bounds(conv_graph(1, 32, 7, 64, SAME), machine)
    loaded, stored = 64 * (9 * 32 + 4) + 49 * 32, 49 * 64
    assert bounds.cycles == max(loaded + 1000 + 14 + 1 + 1000, loaded + stored + 1000)


def test_another_shape_of_the_array_counts_where_the_machine_has_it() -> None:
    graph = conv_graph(1, 32, 16, 16, SAME)
    plain, shaped = (network_bounds(graph, Architecture(array_shapes=bits)) for bits in (0, 0b10000))
    # 16 rows x 256 columns: one pass instead of 4
    assert plain.layers[0].compute_bound == 4 * shaped.layers[0].compute_bound


def test_compulsory_bytes_are_weights_biases_and_the_border() -> None:
    bounds = network_bounds(conv_graph(2, 32, 7, 150, SAME), Architecture())
    assert bounds.dram_bytes == 150 * 32 * 9 + 4 * 150 + 2 * 49 * 32 + 2 * 49 * 150


def zeroed(graph: Graph, steps: int) -> Graph:
    """The first `steps` k-steps of the convolution's first 64 outputs are zero."""
    op = graph.ops[0]
    assert isinstance(op, Conv2d)
    lines = op.weight.transpose(0, 2, 3, 1).reshape(len(op.weight), -1)
    lines[:64, :steps] = 0
    op.weight[:] = lines.reshape(op.weight.transpose(0, 2, 3, 1).shape).transpose(0, 3, 1, 2)
    return graph


def test_steps_that_are_zero_for_a_block_do_not_count() -> None:
    plain = network_bounds(conv_graph(1, 32, 7, 128, SAME), Architecture())
    sparse = network_bounds(zeroed(conv_graph(1, 32, 7, 128, SAME), 100), Architecture())
    assert plain.layers[0].compute_bound - sparse.layers[0].compute_bound == 100 * 5
    assert plain.dram_bytes - sparse.dram_bytes == 100 * 64 - 9 * 32 // 8  # lines, less the bitmap


def test_pixels_that_nobody_reads_do_not_count() -> None:
    pool = Window((2, 2), (2, 2))
    with_pool = network_bounds(conv_graph(1, 8, 17, 64, SAME, pool), Architecture())
    assert with_pool.layers[0].compute_bound == -(-16 * 16 // 64) * 72 * 5  # the last row and column are cropped away


def two_layers() -> Graph:
    """Much compute and few weights, then half a MB of weights and little compute."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder("two")
    x = builder.input("x", (1, 4, 128, 128))

    def conv(name: str, source: str, channels: int, window: Window) -> str:
        weight = rng.integers(1, 9, (channels, builder.shape(source)[1], *window.kernel)).astype(np.int8)
        return builder.append(Conv2d(name, (source,), name, weight, np.zeros(channels, np.int32), window, 1, Cut(8, 0)))

    x = conv("first", x, 4, Window((7, 7), (1, 1), (3, 3, 3, 3)))
    x = builder.append(MaxPool2d("pool", (x,), "small", Window((8, 8), (8, 8))))
    return builder.build([conv("second", x, 512, Window((16, 16)))])


def test_the_dram_may_run_ahead_by_the_memory_and_no_further() -> None:
    graph, weights = two_layers(), 512 * (4 * 256 + 4)
    roomy, tight = (
        network_bounds(graph, Architecture(sram_bytes=size, dram_bytes_per_cycle=4)) for size in (2**21, 200 * 1024)
    )
    first, _, second = (layer.compute_bound for layer in roomy.layers)
    assert weights / 4 > 2 * second, "fetched at its own pace the second layer would wait for its weights"
    assert roomy.cycles == pytest.approx(first + second, rel=0.01), "all of them arrive while the first one computes"
    ahead = 200 * 1024 + SLICE_BYTES  # at most: room is counted in slices
    assert tight.cycles > first + (weights - ahead) / 4
    assert tight.cycles < first + weights / 4 + second


def test_a_batch_may_be_loaded_while_later_layers_compute() -> None:
    """Image by image: the first layer takes less than its input's way over the bus, the second one much more."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder("batch")
    x = builder.input("x", (4, 8, 24, 24))
    for name, outputs, window in (("first", 8, Window((1, 1))), ("second", 64, SAME)):
        weight = rng.integers(1, 9, (outputs, 8, *window.kernel)).astype(np.int8)
        x = builder.append(Conv2d(name, (x,), name, weight, np.zeros(outputs, np.int32), window, 1, Cut(6, 0)))
    x = builder.append(MaxPool2d("pool", (x,), "small", Window((12, 12), (12, 12))))
    machine = Architecture(dram_bytes_per_cycle=2)
    bounds = network_bounds(builder.build([x]), machine)
    compute, loaded = sum(layer.compute_bound for layer in bounds.layers), 4 * 8 * 24 * 24
    assert loaded / 2 > 5 * bounds.layers[0].compute_bound
    assert compute < bounds.cycles < compute + loaded / 4


def test_the_bound_is_the_sum_of_nothing_twice() -> None:
    graph = random_graph(np.random.default_rng(5), 6)
    bounds = network_bounds(graph, Architecture())
    assert bounds.dram_bytes == sum(layer.dram_bytes_compulsory for layer in bounds.layers)
    assert bounds.cycles >= max(layer.cycles_bound for layer in bounds.layers)
    assert bounds.cycles >= sum(layer.compute_bound for layer in bounds.layers)
