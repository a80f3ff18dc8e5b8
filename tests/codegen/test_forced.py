"""Bytes that layers force over the bus because they do not fit together, against exact answers and against the compiler."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.codegen.chains import append_conv, random_chain, small_machine
from tests.codegen.test_bounds import dram_bytes
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import CompileError, compile_graph
from tvm_re2na.codegen.graph.bounds import network_bounds
from tvm_re2na.codegen.graph.chain import ChainLayer, chain_of
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.forced import SHARES, Group, crossing_bytes, forced_bytes, groups_until, mixed_share
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, MaxPool2d, Window
from tvm_re2na.codegen.graph.reads import needs

if TYPE_CHECKING:
    from tests.codegen.exact import Column

MOST_PRODUCTS = 40  # of a chain that is solved exactly


def mixed_lines(done: np.ndarray) -> float:
    """Of a box, the shares of lines with products of both kinds, all directions added."""
    return float(sum((done.any(axis) & ~done.all(axis)).mean() for axis in range(3)))


def test_products_that_are_done_mix_with_others_on_many_lines() -> None:
    rng = np.random.default_rng(0)
    closest = 9.0
    for _ in range(3000):
        sizes = rng.integers(1, 9, 3)
        done = np.zeros(sizes, np.bool_)
        for _ in range(int(rng.integers(1, 4))):  # boxes that begin or end with the whole one, or lie anywhere
            low, high = rng.integers(0, sizes + 1), rng.integers(0, sizes + 1)
            low, high = np.where(rng.random(3) < 0.5, 0, np.minimum(low, high)), np.maximum(low, high)
            done[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] ^= bool(rng.random() < 0.9)
        found, least = mixed_lines(done), mixed_share(float(done.mean()))
        assert found >= least - 1e-9
        if least:
            closest = min(closest, found / least)
    assert closest == pytest.approx(1), "a plane through the middle reaches it"


def test_slices_of_a_box_mix_as_the_proof_says() -> None:
    """The last inequality of the proof, on a grid: of slices whose shares lie in low .. high."""

    def slice_mixed(share: np.ndarray) -> np.ndarray:
        return np.minimum(1, 2 * np.sqrt(np.maximum(np.minimum(share, 1 - share), 0)))

    for share in np.linspace(0.02, 0.98, 97):
        low, high = np.linspace(0, share, 300)[:-1, None], np.linspace(share, 1, 300)[None, 1:]
        width = high - low
        chord = (slice_mixed(low) * (high - share) + slice_mixed(high) * (share - low)) / width
        assert (width + chord).min() >= mixed_share(float(share)) - 1e-9


# ---- against exact answers


def group_of(channels: tuple[int, ...], pixels: int, weights: tuple[int, ...]) -> Group:
    """Of a chain of `exact.py`."""
    sizes = tuple(a * b * size for (a, b), size in zip(pairwise(channels), weights, strict=True))
    return Group(sizes, tuple(count * pixels for count in channels[1:]), channels[0] * pixels, True)


@pytest.mark.parametrize("first", range(0, 48, 12))
def test_no_less_is_needed_across_a_moment(first: int) -> None:
    exact = pytest.importorskip("tests.codegen.exact", reason="OR-tools is not installed", exc_type=ImportError)
    for seed in range(first, first + 12):
        rng = np.random.default_rng(seed)
        channels = tuple(int(count) for count in rng.integers(1, 4, int(rng.integers(2, 5))))
        pixels, worth = int(rng.integers(2, 5)), int(rng.integers(1, 3))
        weights = tuple(int(size) for size in rng.integers(1, 9, len(channels) - 1))
        products = channels[0] * channels[1] * pixels
        done = next((count for count in range(products) if SHARES[0] <= count / products <= SHARES[-1]), None)
        if done is None or sum(a * b for a, b in pairwise(channels)) * pixels > MOST_PRODUCTS:
            continue
        group = group_of(channels, pixels, weights)
        group = Group(group.weights, group.tensors, group.inputs)
        needed = exact.least_crossing(exact.Chain(channels, pixels, weights), done, worth)
        assert crossing_bytes(group, done / products, worth) <= needed + 1e-9, seed


def column_graph(column: Column) -> Graph:
    """Of `exact.py`, all weights 1."""
    builder, made = GraphBuilder("column"), []
    x = builder.input("x", (1, column.channels[0], column.pixels, 1))
    for index, taps in enumerate(column.taps):
        weight = np.ones((column.channels[index + 1], builder.shape(x)[1], taps, 1), np.int8)
        window = Window((taps, 1), padding=(taps // 2, 0, taps // 2, 0))
        name, bias = f"conv_{index}", np.zeros(len(weight), np.int32)
        x = builder.append(Conv2d(name, (x,), name, weight, bias, window, 1, Cut(0)))
        made.append(x)
        if column.residual and index == 2:
            x = builder.append(Add("add", (made[0], x), "sum", (0, 0)))
    return builder.build([x])


def random_column(rng: np.random.Generator) -> Column:
    """Small ones, two to four layers."""
    from tests.codegen.exact import Column

    count, pixels = int(rng.integers(2, 5)), int(rng.integers(4, 7))
    channels = rng.integers(1, 3, count + 1).tolist()
    if count == 4:
        channels = [1, 2, 1, 2, 1]
    taps, weights = rng.choice([1, 3], count).tolist(), rng.integers(1, 7, count).tolist()
    return Column(tuple(channels), tuple(taps), pixels, tuple(weights), count == 4)


def least_and_proved(column: Column, share: float = SHARES[0]) -> tuple[float, float] | None:
    """What crosses the moment at which this share of the first layer's products or a little more is done; None for large ones."""
    from tests.codegen.exact import least_crossing_column

    border, last = int(3 in column.taps), len(column.taps) - 1
    seen, found = range(border, column.pixels - border), dict(groups_until(chain(column_graph(column)), last, 0))[0]
    products = column.channels[0] * column.channels[1] * column.taps[0] * len(seen)
    done = math.ceil(share * products)
    sizes = [a * b * taps for (a, b), taps in zip(pairwise(column.channels), column.taps, strict=True)]
    if done > SHARES[-1] * products or sum(sizes) * column.pixels > 2 * MOST_PRODUCTS:
        return None
    weights = tuple(size * weight for size, weight in zip(found.weights, column.weights, strict=True))
    group = replace(found, weights=weights, inputs_move=False, share=1.0)
    return least_crossing_column(column, seen, done), crossing_bytes(group, done / products, 1.0)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_nor_with_windows_of_pixels_and_residual_connections(first: int) -> None:
    pytest.importorskip("ortools", reason="OR-tools is not installed")
    compared = 0
    for seed in range(first, first + 20):
        found = least_and_proved(random_column(np.random.default_rng(seed)))
        if found is not None:
            assert found[1] <= found[0] + 1e-9, seed
            compared += 1
    assert compared >= 5


def test_what_is_added_later_waits_beside_a_narrow_layer() -> None:
    pytest.importorskip("ortools", reason="OR-tools is not installed")
    from tests.codegen.exact import Column

    found = least_and_proved(Column((1, 2, 1, 2, 1), (1, 1, 1, 1), 4, (1, 1, 40, 1), True))
    assert found == (8, pytest.approx(8)), (
        "not 7, the weights of two layers and a byte for each pixel of the narrow one"
    )


def test_sums_that_wait_may_be_less_than_inputs() -> None:
    """Four channels are summed to one: its sums are as many bytes as all inputs."""
    exact = pytest.importorskip("tests.codegen.exact", reason="OR-tools is not installed", exc_type=ImportError)
    group = replace(group_of((4, 1, 1), 3, (50, 50)), inputs_move=False)
    assert exact.least_crossing(exact.Chain((4, 1, 1), 3, (50, 50)), 9, 1) == 12
    assert crossing_bytes(group, 0.75, 1.0) == pytest.approx(6 + 0.75 * 3)


@pytest.mark.parametrize(
    ("channels", "pixels", "weights", "sram", "moved", "proved"),
    [
        ((1, 1, 1), 6, (4, 4), 9, 0, 0.0),  # both weights and a pixel fit
        ((1, 1, 1), 5, (4, 4), 7, 4, 0.25),
        ((1, 1, 1), 5, (4, 4), 6, 6, 1.25),
        ((1, 1, 1), 5, (4, 4), 5, 8, 2.25),
        ((1, 2), 4, (4,), 6, 2, 0.0),
        ((1, 1, 1), 5, (4, 4), 8, 2, 0.0),  # both weights fit, but no pixel with them
        ((1, 1, 1, 1), 4, (2, 2, 2), 4, 6, 1.0),
    ],
)
def test_the_best_of_all_schedules_moves_no_less(
    channels: tuple[int, ...], pixels: int, weights: tuple[int, ...], sram: int, moved: int, proved: float
) -> None:
    """The gap is what the theorems do not prove: here they find less than half of what has to be moved."""
    exact = pytest.importorskip("tests.codegen.exact", reason="OR-tools is not installed", exc_type=ImportError)
    chain = exact.Chain(channels, pixels, weights)
    assert exact.fewest_bytes(chain, sram) - chain.compulsory == moved
    assert forced_bytes(group_of(channels, pixels, weights), sram) == pytest.approx(proved)
    assert proved <= moved


def test_a_layer_alone_is_not_asked_for_more_than_blocks_of_it_move() -> None:
    """Three ways to compute a layer, each without any room but for what it keeps, against the bound."""
    rng, proved = np.random.default_rng(1), 0
    for _ in range(2000):
        outputs, steps, pixels = (float(2 ** rng.uniform(8, 13)) for _ in range(3))
        weights, inputs, sums = outputs * steps, steps * pixels, 4 * outputs * pixels
        sram = 2 ** rng.uniform(-6, 1) * min(weights, inputs, sums)
        ways = [
            (math.ceil(inputs / sram) - 1) * weights,  # some pixels stay, all weights pass by
            (math.ceil(weights / sram) - 1) * inputs,
            *(
                weights * (max(sums * x / sram, 1) - 1)
                + inputs * (1 / x - 1)  # sums of a block of outputs and pixels stay
                for x in (1, 0.5, 0.25, 0.1, min(1.0, math.sqrt(sram * inputs / (sums * weights))))
            ),
        ]
        found = forced_bytes(Group((int(weights),), (int(sums / 4),), int(inputs)), int(sram))
        assert found <= 2 * min(ways) + 1, "a byte of a tensor counts twice at most"
        proved += found > 0.2 * min(ways) > 0
    assert proved > 200


# ---- the chain


def chain(graph: Graph, arch: Architecture | None = None) -> list[ChainLayer]:
    return chain_of(graph, arch or Architecture(), needs(graph), [0] * len(graph.ops))


def residual(channels: int = 16, size: int = 20) -> Graph:
    rng, builder = np.random.default_rng(0), GraphBuilder("residual")
    x = first = append_conv(builder, rng, builder.input("x", (2, 8, size, size)), "first", channels, 3)
    for name in ("second", "third"):
        x = append_conv(builder, rng, x, name, channels, 3)
    x = builder.append(Add("add", (first, x), "sum", (0, 0)))
    x = append_conv(builder, rng, x, "fourth", channels, 1)
    return builder.build([x])


def test_a_group_has_the_pixels_that_all_its_layers_see_whole() -> None:
    groups = dict(groups_until(chain(residual()), 3, 64))
    group = groups[0]
    pixels = 2 * 18 * 18  # the border sees padding
    assert group.tensors == (16 * pixels,) * 4
    assert group.weights == (16 * 8 * 9, 16 * 16 * 9, 16 * 16 * 9, 16 * 16)
    assert group.inputs == 8 * pixels
    assert group.inputs_move and not groups[1].inputs_move
    assert group.kept == ((0, 2, 16 * pixels),), "what the first layer makes is added to what the third makes"
    assert group.in_flight == 64 / (16 * pixels)
    assert groups[2].kept == ()


def test_what_lies_between_layers_joins_or_separates_them() -> None:
    rng, builder = np.random.default_rng(0), GraphBuilder("between")
    x = append_conv(builder, rng, builder.input("x", (1, 8, 40, 40)), "first", 32, 1)
    x = builder.append(MaxPool2d("pool", (x,), "pooled", Window((2, 2), (2, 2))))
    x = append_conv(builder, rng, x, "apart", 32, 3, 1, groups=32)
    weight = builder._ops[-1].weight  # type: ignore[attr-defined]
    weight[:5, 0, 1, 1] = 0  # these channels do not see the pixel in the middle
    x = append_conv(builder, rng, x, "second", 16, 1)
    x = append_conv(builder, rng, x, "grouped", 16, 1, 1, groups=2)
    x = append_conv(builder, rng, x, "third", 16, 1)
    layers = chain(builder.build([x]))
    assert [layer.link.op.name for layer in layers] == ["first", "second", "third"]
    assert [layer.joined for layer in layers] == [False, True, False]
    group = dict(groups_until(layers, 1, 64))[0]
    assert group.tensors == (27 * 20 * 20, 16 * 20 * 20)
    assert group.weights == (27 * 8, 16 * 27)


def test_steps_without_weights_are_in_no_group() -> None:
    graph = residual()
    second = graph.ops[1]
    assert isinstance(second, Conv2d)
    second.weight[:, 3] = 0
    group = dict(groups_until(chain(graph), 3, 64))[0]
    assert group.weights[:2] == (15 * 8 * 9, 16 * (15 * 9 - 9)), (
        "the channel that nobody reads, and once more to be safe"
    )
    assert group.kept == ()


def test_results_that_are_stored_in_any_case_separate_layers() -> None:
    graph = residual()
    both = Graph(graph.name, graph.inputs, (*graph.outputs, "second"), graph.ops, graph.shapes)
    assert [layer.joined for layer in chain(both)] == [False, True, False, True]


# ---- networks


def test_a_memory_that_holds_everything_forces_nothing() -> None:
    graph = residual(64, 40)
    forced = [network_bounds(graph, Architecture(sram_bytes=kib * 1024)).forced_bytes for kib in (1536, 64, 32, 16)]
    assert forced == sorted(forced)
    assert forced[0] == 0
    assert forced[-1] > 0


def test_forced_bytes_take_their_time_on_the_bus() -> None:
    slow = Architecture(sram_bytes=16 * 1024, dram_bytes_per_cycle=1)
    bounds = network_bounds(residual(64, 40), slow)
    assert bounds.forced_bytes > 0
    assert bounds.cycles >= bounds.dram_bytes + bounds.forced_bytes


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_no_schedule_of_ours_moves_less(first: int) -> None:
    forced = 0
    for seed in range(first, first + 20):
        rng = np.random.default_rng(seed)
        graph, machine = random_chain(rng), small_machine(rng)
        bounds = network_bounds(fold(graph), machine)
        try:
            program = compile_graph(graph, machine)
        except CompileError:
            continue
        assert dram_bytes(program) >= bounds.dram_bytes + bounds.forced_bytes, seed
        forced += bounds.forced_bytes > 0
    assert forced >= 3


def test_groups_without_a_common_layer_add_up() -> None:
    """What a chain of equal layers is proved to move grows with its length."""
    arch, found = Architecture(array_rows=8, array_columns=8, sram_bytes=8 * 1024), []
    for count in (2, 4, 8):
        rng, builder = np.random.default_rng(0), GraphBuilder("chain")
        x = builder.input("x", (1, 64, 24, 24))
        for index in range(count):
            x = append_conv(builder, rng, x, f"conv_{index}", 64, 3)
        found.append(network_bounds(builder.build([x]), arch).forced_bytes)
    assert found[0] > 0
    assert found[2] - found[1] >= 2 * (found[1] - found[0]) - 2
