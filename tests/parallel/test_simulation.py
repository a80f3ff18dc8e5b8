"""`run` in shards: figures and outputs are the same on any workers, and after an interruption."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tvm_re2na import Simulation, Simulator, simulate
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.parallel.journal import JournalError

BATCH, COUNT = 3, 50


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_graph(random_graph(np.random.default_rng(3), 5, batch=BATCH))


@pytest.fixture(scope="module")
def data(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "x.npz"
    shape = (COUNT, *program.inputs[0].shape[1:])
    np.savez(path, x=np.random.default_rng(0).integers(-128, 128, shape, np.int8))
    return path


@pytest.fixture(scope="module")
def alone(program: Program, data: Path) -> Simulation:
    return simulate(program, data)


def same(found: Simulation, alone: Simulation) -> None:
    assert found.figures == alone.figures
    assert found.outputs.keys() == alone.outputs.keys()
    for name, array in found.outputs.items():
        np.testing.assert_array_equal(array, alone.outputs[name])


def test_the_outputs_are_the_simulators(program: Program, data: Path, alone: Simulation) -> None:
    x = np.load(data)["x"]
    simulator = Simulator(program)
    results = [simulator.run([x[at : at + BATCH]]) for at in range(0, COUNT - BATCH, BATCH)]
    for index, array in enumerate(alone.outputs.values()):
        assert len(array) == COUNT
        np.testing.assert_array_equal(array[: COUNT - 2], np.concatenate([result.outputs[index] for result in results]))
    assert alone.figures["overflows"] >= sum(result.counters.total.overflows for result in results)


def test_any_number_of_workers_gives_the_same(program: Program, data: Path, alone: Simulation) -> None:
    same(simulate(program, data, jobs=2, shard=7), alone)
    same(simulate(program, data, jobs=3), alone)
    same(simulate(program, data, threads=1, shard=1), alone)
    with ThreadPoolExecutor(3) as threads:
        same(simulate(program, data, executor=threads), alone)


def test_a_cluster_gives_the_same(cluster: Any, program: Program, data: Path, alone: Simulation) -> None:
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        same(simulate(program, data, executor=client.get_executor(), shard=11), alone)


def test_an_interrupted_run_goes_on(program: Program, data: Path, alone: Simulation, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("run", COUNT)
        if done >= 20:
            raise KeyboardInterrupt

    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        simulate(program, data, shard=10, resume=tmp_path / "run", progress=interrupt)
    same(
        simulate(program, data, shard=10, resume=tmp_path / "run", progress=lambda _, done, of: steps.append(done)),
        alone,
    )
    assert steps == [24, 36, 48, 50]
    with pytest.raises(JournalError, match=r"differs in data .*; images \(50 there, 49 here\); shards|differs in data"):
        simulate(program, data, 49, shard=10, resume=tmp_path / "run")
