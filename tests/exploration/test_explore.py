"""LeNet-5 on a grid of machines: whatever executes the points, the rows are the same, and they are what `compile` says."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.codegen.networks import random_graph
from tests.frontends.test_lookup import activated
from tests.quantize.networks import FloatNet
from tvm_re2na import Architecture, Exploration, explore, frontends, load_dataset, pipeline
from tvm_re2na.codegen.arch import TABLE_BYTES
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Window
from tvm_re2na.exploration.point import compile_points
from tvm_re2na.exploration.run import COLUMNS, COSTS
from tvm_re2na.parallel.parcel import Here
from tvm_re2na.quantize import quantize
from tvm_re2na.runtime.report import compile_report

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")

SWEEP = {"sram_bytes": [1024, 16384, 1572864], "dram_bytes_per_cycle": [24, 8], "pe_area_um2": [250, 300]}


@pytest.fixture(scope="module")
def model(demo_data: Path) -> onnx.ModelProto:
    calibration = load_dataset(demo_data / "mnist_calibration128.npz", 32)
    return pipeline.quantized_model(pipeline.load_model(demo_data / "lenet5_mnist.onnx"), calibration, Architecture())


@pytest.fixture(scope="module")
def found(model: onnx.ModelProto) -> Exploration:
    with ThreadPoolExecutor(2) as threads:
        return explore(model, SWEEP, threads)


class Backwards(Executor):
    """Runs its tasks last first, and only when the last has come: so the points finish in reverse."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        self.waiting.append((Future(), function, arguments))
        if len(self.waiting) == self.count:
            for future, call, given in reversed(self.waiting):
                future.set_result(call(*given))
        return self.waiting[-1][0]


class Refusing(Executor):
    """Takes two tasks, loses the second, and is broken from then on."""

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        self.taken += 1
        future: Future[Any] = Future()
        if self.taken > 2:
            raise RuntimeError("the pool is broken")
        if self.taken == 2:
            future.set_exception(OSError("the worker has died"))
        else:
            future.set_result(function(*arguments))
        return future


def test_processes_give_the_same_rows(model: onnx.ModelProto, found: Exploration) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert explore(model, SWEEP, processes) == found
        assert processes.submit(os.getpid).result() != os.getpid()  # still open


def test_processes_of_its_own(model: onnx.ModelProto, found: Exploration) -> None:
    steps: list[tuple[str, int, int]] = []
    assert explore(model, SWEEP, jobs=2, progress=lambda *step: steps.append(step)) == found
    assert [step for step in steps if step[0] == "compile"] == [
        ("compile", done, 12) for done in range(0, 13, 2)
    ]  # two share a program


def test_rows_keep_the_order_of_the_grid(model: onnx.ModelProto, found: Exploration) -> None:
    assert explore(model, SWEEP, Backwards(6)) == found
    swept = [tuple(row[name] for name in SWEEP) for row in found.rows]
    assert swept == [(a, b, c) for a in SWEEP["sram_bytes"] for b in (24, 8) for c in (250, 300)]


def test_rows_say_what_compile_says(model: onnx.ModelProto, found: Exploration) -> None:
    mod, params = pipeline.import_into_tvm(model)
    for row in (found.rows[0], found.rows[-1]):
        arch = Architecture(**{name: row[name] for name in SWEEP})
        built = pipeline.build_for_re2na(mod, params, arch)
        total = compile_report([program for _, program in built.programs])["total"]
        same = ("cycles", "dram_bytes", "cycles_bound", "utilisation", "microseconds", "sram_peak_bytes")
        assert {name: row[name] for name in same} == {name: total[name] for name in same}
        assert row["energy_uj"] == pytest.approx(sum(total["energy_pj"].values()) / 1e6)
        assert row["offloaded_macs_share"] == built.offloaded_macs_share
        assert row["area_mm2"] == arch.area_mm2


def test_what_no_longer_fits_shows_and_stays_off_the_front(found: Exploration) -> None:
    shares = [row["offloaded_macs_share"] for row in found.rows]
    assert max(shares[:4]) < 1
    assert shares[4:] == [1.0] * 8
    assert found.rows[0]["area_mm2"] < found.rows[4]["area_mm2"]  # it would look cheap
    whole = [row for row in found.rows if row["offloaded_macs_share"] == 1]

    def beaten(row: dict[str, Any]) -> bool:
        mine = [row[name] for name in COSTS]
        theirs = [[other[name] for name in COSTS] for other in whole]
        return any(costs != mine and all(a <= b for a, b in zip(costs, mine, strict=True)) for costs in theirs)

    assert [row["pareto"] for row in found.rows] == [row in whole and not beaten(row) for row in found.rows]
    assert sum(row["pareto"] for row in found.rows) >= 2


def test_the_table_as_csv(found: Exploration) -> None:
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert list(rows[0]) == [*SWEEP, *COLUMNS]
    assert [int(row["cycles"]) for row in rows] == [row["cycles"] for row in found.rows]
    assert [row["pareto"] == "1" for row in rows] == [row["pareto"] for row in found.rows]
    assert found.to_json() == {"fields": list(SWEEP), "rows": found.rows}


def test_points_that_fail_are_rows() -> None:
    graph = big_graph()
    sweep = {"sram_bytes": [1024, 1572864], "array_rows": [64, 32], "array_shapes": ["none", "32x128"]}
    with ThreadPoolExecutor(2) as threads:
        rows = explore(graph, sweep, threads).rows
    errors = [row["error"] for row in rows]
    assert all("bytes of SRAM, 1024 are available" in str(error) for error in errors[:3])
    assert errors[3] == errors[7] == "architecture: array_shapes: '32x128' has not 2048 PEs"
    assert errors[4:7] == [None] * 3
    assert all(row["cycles"] is None and not row["pareto"] for row in rows if row["error"])
    assert any(row["pareto"] for row in rows)
    assert rows[4]["cycles"] == compile_report([compile_graph(graph)])["total"]["cycles"]
    assert rows[4]["offloaded_macs_share"] == 1


def test_an_executor_that_takes_no_more_leaves_rows_without_figures() -> None:
    found = explore([big_graph()], {"dram_latency": [100, 200, 300, 400]}, Refusing())
    refused = "the executor takes no more (RuntimeError: the pool is broken)"
    assert [row["error"] for row in found.rows] == [None, refused, refused, refused]
    assert found.lost == 3


def test_bugs_and_empty_networks_are_outcomes() -> None:
    (outcome,) = compile_points(Here(("no graph",)), [Architecture()])
    assert outcome["error"].startswith("AttributeError: ")
    (empty,) = compile_points(Here(()), [Architecture()])
    assert empty["error"] == "no operator can be offloaded"


def test_batches_count_per_inference() -> None:
    rng = np.random.default_rng(5)
    graph = random_graph(rng, 4, batch=4)
    with ThreadPoolExecutor(1) as threads:
        row = explore(graph, {"clock_mhz": [50]}, threads).rows[0]
    assert row["cycles"] == compile_report([compile_graph(graph)])["total"]["cycles"]
    assert row["microseconds"] == row["cycles"] / 50


def test_workers_need_no_tvm() -> None:
    code = "import sys, tvm_re2na.exploration.point\nbad = {'tvm', 'onnx', 'onnxruntime'} & set(sys.modules)\nassert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_machines_that_reject_the_same_share_their_graphs(model: onnx.ModelProto) -> None:
    mod, params = pipeline.import_into_tvm(model)
    machines = [Architecture(sram_bytes=size, clock_mhz=clock) for size in (1024, 1572864) for clock in (100, 200)]
    tiny, same, large, as_large = pipeline.lower_for_each(mod, params, machines)
    assert tiny is same
    assert large is as_large
    assert len(tiny.graphs) > len(large.graphs) == 1
    assert tiny.offloaded_macs_share < large.offloaded_macs_share == 1


def big_graph() -> Graph:
    """A convolution that 1,024 bytes of SRAM are too few for, on any array of the tests."""
    builder = GraphBuilder("big")
    weight, bias = np.ones((64, 512, 3, 3), np.int8), np.zeros(64, np.int32)
    source = builder.input("x", (1, 512, 8, 8))
    return builder.build([builder.append(Conv2d("conv", (source,), "y", weight, bias, Window((3, 3)), 1, Cut(0)))])


def test_what_an_activation_table_buys() -> None:
    """The same network goes to and fro without, and stays on the machine with it."""
    net = FloatNet(size=16, seed=4)
    model = quantize(activated(net), net.images(16)).model
    without, looking = explore(model, {"activation_table": [0, 1]}).rows
    assert looking["dram_bytes"] < without["dram_bytes"] and looking["cycles"] < without["cycles"]
    tables = Architecture().array_rows * TABLE_BYTES / 1024 * Architecture().sram_area_um2 / 1e6
    assert looking["area_mm2"] - without["area_mm2"] == pytest.approx(tables, abs=1e-3)
