"""The regions of a network together, beside the network in one region."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.codegen.test_compiler import conv_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Window
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.runtime.network_traffic import NetworkTraffic, network_traffic
from tvm_re2na.runtime.report import compile_report


def chain(batch: int, layers: int, channels: int = 8, size: int = 6) -> Graph:
    builder = GraphBuilder("chain")
    x = builder.input("x", (batch, channels, size, size))
    weight = np.random.default_rng(layers).integers(1, 5, (channels, channels, 1, 1)).astype(np.int8)
    for index in range(layers):
        x = builder.append(
            Conv2d(f"c{index}", (x,), f"y{index}", weight, np.zeros(channels, np.int32), Window((1, 1)), 1, Cut(4))
        )
    return builder.build([x])


def moved(programs: list[Program]) -> int:
    return sum(Simulator(program).run([_image(program)]).counters.total.dram_bytes for program in programs)


def _image(program: Program) -> np.ndarray:
    return np.zeros(program.inputs[0].shape, np.int8)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_of_one_region_has_that_regions_bound(batch: int) -> None:
    """That every byte of weights, input and output moves once: 8 biases, 64 weights, 288 pixels in and out, for each layer."""
    program = compile_graph(chain(batch, 2))
    traffic = network_traffic([program], 2 * 288 * batch)
    assert traffic == NetworkTraffic(1, 2 * 288, (2 * (8 * 4 + 64) + 2 * 288 * batch) // batch)
    assert traffic.dram_bytes_compulsory == program.meta["total"]["dram_bytes_compulsory"] // batch
    assert traffic.ratio(moved([program]) / batch) == pytest.approx(1.0, abs=0.01)


def test_the_same_in_two_regions_moves_what_lies_between_twice() -> None:
    """Each reaches its own bound, and the network does not."""
    halves = [compile_graph(chain(1, 1)) for _ in range(2)]
    traffic = network_traffic(halves, 2 * 288)
    assert (traffic.regions, traffic.crossing_bytes) == (2, 4 * 288)
    assert traffic.dram_bytes_compulsory == 2 * (8 * 4 + 64) + 2 * 288
    report = compile_report(halves, 2 * 288)["total"]
    assert report["dram_bytes"] == report["dram_bytes_compulsory"] == moved(halves)
    assert report["network_dram_ratio"] == pytest.approx((2 * 96 + 4 * 288) / (2 * 96 + 2 * 288))
    assert {name: report[name] for name in ("regions", "crossing_bytes")} == {"regions": 2, "crossing_bytes": 1152}


@pytest.mark.parametrize("seed", range(12))
def test_weights_and_borders_make_a_regions_bound(seed: int) -> None:
    """What nobody reads of its inputs is all that they may differ by."""
    rng = np.random.default_rng(seed)
    program = compile_graph(random_graph(rng, 6), Architecture(sram_bytes=256 * 1024))
    bound, batch = program.meta["total"], program.inputs[0].shape[0]
    borders = network_traffic([program], 0).crossing_bytes * batch
    assert bound["weight_bytes"] <= bound["dram_bytes_compulsory"] <= bound["weight_bytes"] + borders


def test_no_region_at_all() -> None:
    assert network_traffic([], 1000) == NetworkTraffic(0, 0, 0)
    assert NetworkTraffic(0, 0, 0).ratio(0) is None
    assert compile_report([])["total"]["network_dram_ratio"] is None


def test_a_program_that_tells_nothing_of_its_weights() -> None:
    program = compile_graph(conv_graph(1, 4, 5, 4, Window((1, 1))))
    bare = type(program)(**{**vars(program), "meta": {}})
    assert network_traffic([bare], 100).dram_bytes_compulsory == 100
