"""A sweep that loses workers loses no point, or says so; and keeps what it had."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.parallel import work
from tvm_re2na import Exploration, explore
from tvm_re2na.cli import main
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.exploration import outcomes
from tvm_re2na.exploration import run as exploring

SWEEP = {"dram_latency": [100, 200, 300, 400, 500, 600], "dram_bytes_per_cycle": [8, 24]}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return random_graph(np.random.default_rng(5), 4)


@pytest.fixture(scope="module")
def alone(graph: Graph) -> Exploration:
    return explore(graph, SWEEP, jobs=1)


def test_a_killed_workers_points_are_done_again(graph: Graph, alone: Exploration) -> None:
    killed: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "compile" and done == 1 and not killed:
            killed.extend(child.pid for child in multiprocessing.active_children()[:1] if child.pid is not None)
            os.kill(killed[0], signal.SIGKILL)

    assert explore(graph, SWEEP, jobs=2, progress=kill) == alone
    assert killed
    assert all(row["error"] is None for row in alone.rows)


def test_an_interrupted_sweep_goes_on(graph: Graph, alone: Exploration, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "compile" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(graph, SWEEP, jobs=1, resume=tmp_path / "run", progress=interrupt)
    steps: list[int] = []
    assert (
        explore(graph, SWEEP, jobs=2, resume=tmp_path / "run", progress=lambda _, done, of: steps.append(done)) == alone
    )
    assert min(steps) == 5


def test_lost_points_are_told_and_no_file_is_replaced(
    graph: Graph,
    alone: Exploration,
    demo_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(outcomes, "compile_points", work.die_at_300_cycles)
    monkeypatch.setattr(exploring.pipeline, "load_model", lambda path, **_: [graph])
    table = tmp_path / "rows.csv"
    table.write_text("old")
    sweep = ["--sweep", "dram_latency=100,300,500", "--jobs", "2", "--csv", str(table)]
    assert main(["explore", str(demo_data / "lenet5_mnist.onnx"), *sweep]) == 5
    captured = capfd.readouterr()
    assert captured.err == "re2na: error: workers were lost with 1 of 3 machines: no file was written\n"
    assert "3 workers were lost" in " ".join(captured.out.split())
    assert table.read_text() == "old"
