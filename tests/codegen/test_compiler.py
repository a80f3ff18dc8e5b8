"""The compiler on random graphs and on machines with little memory: what comes out computes what the graph means."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.graph_eval import evaluate
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import PASSES, CompileError, compile_graph
from tvm_re2na.codegen.errors import UnitTooLarge
from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import (
    Conv2d,
    Cut,
    Dense,
    GraphError,
    MaxPool2d,
    Op,
    Reshape,
    Window,
)
from tvm_re2na.codegen.graph.pixels import Pad
from tvm_re2na.codegen.program import Program
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.library import Simulator

SRAM = (1536 * 1024, 24 * 1024, 10 * 1024, 6 * 1024)


def check(graph: Graph, arch: Architecture, seed: int = 0) -> Program:
    """Compile; run both simulators; both must give the graph's meaning."""
    program = Program.from_bytes(compile_graph(graph, arch).to_bytes())
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]
    expected = evaluate(graph, inputs, arch)
    for result in (Simulator(program).run(inputs), reference.run(program, inputs)):
        for output, wanted in zip(result.outputs, expected, strict=True):
            np.testing.assert_array_equal(output, wanted)
    return program


@pytest.mark.parametrize("first", range(0, 400, 25))
def test_random_graphs_compute_what_they_mean(first: int) -> None:
    done = 0
    for seed in range(first, first + 25):
        rng = np.random.default_rng(seed)
        arch = Architecture(
            sram_bytes=SRAM[seed % len(SRAM)], channel_cuts=seed % 2, activation_table=seed // len(SRAM) % 2
        )
        cuts, lookups = arch.channel_cuts == 1, arch.activation_table == 1
        graph = random_graph(rng, layers=int(rng.integers(1, 8)), cuts=cuts, lookups=lookups)
        try:
            check(graph, arch, seed)
            done += 1
        except CompileError as error:
            assert "are available" in str(error)
    assert done >= 20


def test_every_operator_has_a_unit() -> None:
    """Five have a lowering of their own: joined with what follows, cut in parts, no unit at all."""
    assert {*Unit.made_of, Conv2d, Dense, Reshape, Concat, Select} == set(Op.__subclasses__())


def conv_graph(batch: int, channels: int, size: int, outputs: int, window: Window, pool: Window | None = None) -> Graph:
    rng = np.random.default_rng(1)
    builder = GraphBuilder("one")
    x = builder.input("x", (batch, channels, size, size))
    weight = rng.integers(-9, 10, (outputs, channels, *window.kernel)).astype(np.int8)
    bias = rng.integers(-99, 99, outputs).astype(np.int32)
    x = builder.append(Conv2d("conv", (x,), "y", weight, bias, window, 1, Cut(6, 0)))
    if pool is not None:
        x = builder.append(MaxPool2d("pool", (x,), "z", pool))
    return builder.build([x])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sram", [12_000, 14_000, 20_000, 30_000, 60_000, 200_000])
@pytest.mark.parametrize("pool", [None, Window((2, 2), (2, 2)), Window((3, 3), (2, 2), (1, 1, 1, 1))])
def test_strips_and_slices_of_every_size_agree(batch: int, sram: int, pool: Window | None) -> None:
    graph = conv_graph(batch, 8, 21, 150, Window((3, 3), (1, 1), (1, 1, 1, 1)), pool)
    check(graph, Architecture(sram_bytes=sram))


@pytest.mark.parametrize("lost", [0.0, 0.9])
def test_windows_strides_and_paddings_of_hundreds(lost: float) -> None:
    """As audio front ends have them, of sums with and without zero steps."""
    rng = np.random.default_rng(3)
    builder = GraphBuilder("long")
    x = builder.input("x", (1, 1, 1, 3000))
    weight = rng.integers(-8, 8, (12, 1, 1, 700)).astype(np.int8)
    weight[:, :, :, rng.random(700) < lost] = 0
    window = Window((1, 700), (1, 300), (0, 350, 0, 349))
    bias = rng.integers(-99, 99, 12).astype(np.int32)
    x = builder.append(Conv2d("conv", (x,), "y", weight, bias, window, 1, Cut(7)))
    x = builder.append(MaxPool2d("pool", (x,), "z", Window((1, 3), (1, 2))))
    check(builder.build([x]), Architecture())


def test_what_does_not_fit_names_required_available_and_excess() -> None:
    graph = conv_graph(1, 64, 32, 64, Window((3, 3)))
    with pytest.raises(CompileError, match=r"conv: needs \d+ bytes of SRAM, 1024 are available, \d+ too many"):
        compile_graph(graph, Architecture(sram_bytes=1024))


def test_the_error_crosses_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(UnitTooLarge(3, "conv", 5000, 4096)))
    assert (error.source, str(error)) == (3, str(UnitTooLarge(3, "conv", 5000, 4096)))


def test_a_convolution_with_its_pooling_is_one_unit_and_never_leaves_the_chip() -> None:
    graph = conv_graph(1, 8, 20, 32, Window((3, 3)), Window((2, 2), (2, 2)))
    program = check(graph, Architecture())
    stored = sum(step["bytes"] * step["rows"] for step in program.instructions if step.name == "STORE")
    assert stored == 32 * 9 * 9


def test_flatten_before_a_dense_layer_moves_no_bytes() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("flatten")
    x = builder.input("x", (1, 5, 4, 3))
    x = builder.append(Reshape("flat", (x,), "f", (1, 60)))
    weight = rng.integers(-9, 10, (7, 60)).astype(np.int8)
    x = builder.append(Dense("fc", (x,), "y", weight, np.zeros(7, np.int32), Cut(5)))
    program = check(builder.build([x]), Architecture())
    assert [step.name for step in program.instructions].count("STORE") == 1


def test_padding_folds_into_the_convolution_behind_it() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("padded")
    x = builder.input("x", (1, 3, 6, 6))
    x = builder.append(Pad("pad", (x,), "p", (1, 2, 0, 1)))
    weight = rng.integers(-9, 10, (4, 3, 3, 3)).astype(np.int8)
    x = builder.append(Conv2d("conv", (x,), "y", weight, np.zeros(4, np.int32), Window((3, 3)), 1, Cut(4)))
    program = check(builder.build([x]), Architecture())
    assert "POOL" not in [step.name for step in program.instructions]


@pytest.mark.parametrize("field", [{"acc_bits": 12}, {"data_bits": 5}, {"rounding": 1}, {"mac_interval": 1}])
def test_other_machines(field: dict[str, int]) -> None:
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    check(conv_graph(1, 8, 9, 12, window), Architecture.from_dict(field))


def test_every_stage_can_be_dumped_and_the_file_is_the_same_each_time() -> None:
    graph = random_graph(np.random.default_rng(3), 6)
    dumps: dict[str, str] = {}
    first = compile_graph(graph, dump=dumps.__setitem__).to_bytes()
    assert tuple(dumps) == PASSES and all(dumps.values())
    assert compile_graph(graph).to_bytes() == first


def test_dense_weights_larger_than_the_memory_stream_through_it() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("wide")
    x = builder.input("x", (1, 700))
    weight = rng.integers(-5, 6, (5000, 700)).astype(np.int8)
    x = builder.append(Dense("fc", (x,), "y", weight, np.zeros(5000, np.int32), Cut(5)))
    program = check(builder.build([x]), Architecture(sram_bytes=400_000))
    loaded = sum(step["bytes"] for step in program.instructions if step.name == "LOAD")
    assert loaded == 700 + 700 * 5000 + 4 * 5000


def _one_conv(**changes: object) -> Graph:
    values: dict = {
        "weight": np.ones((2, 3, 1, 1), np.int8),
        "bias": np.zeros(2, np.int32),
        "window": Window((1, 1)),
        "groups": 1,
        "cut": Cut(2),
    }
    builder = GraphBuilder("bad")
    x = builder.input("x", (1, 3, 4, 4))
    return builder.build([builder.append(Conv2d("conv", (x,), "y", **(values | changes)))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cut": Cut(17)}, "conv: lsb 17 is outside 0..16"),
        ({"bias": np.full(2, 65535, np.int32)}, "conv: bias 65537..65537 does not fit 17 bits"),
        ({"weight": np.ones((2, 4, 1, 1), np.int8)}, "conv: 3 input channels, weights take 4"),
        ({"window": Window((9, 9))}, "does not fit the padded input"),
        ({"weight": np.ones((2, 3, 1, 1), np.int16)}, "int16"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_named(changes: dict, message: str) -> None:
    with pytest.raises(GraphError) as error:
        compile_graph(_one_conv(**changes))
    assert message in str(error.value)


def test_all_passes_are_documented() -> None:
    from tvm_re2na.codegen import compiler

    for name in PASSES:
        assert name in (compiler.__doc__ or "")
