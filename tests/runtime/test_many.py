"""Many runs: in order, each complete, few at a time, whatever the workers and the chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.runtime.programs import random_input, random_program
from tests.runtime.test_kernels import images, same
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import abi, abi_table, library, many
from tvm_re2na.runtime.library import LoadedProgram, Simulator, SimulatorError
from tvm_re2na.runtime.many import run_many
from tvm_re2na.runtime.result import Int8Array


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_graph(random_graph(np.random.default_rng(3), 5))


def test_results_are_those_of_single_runs_for_any_number_of_workers(program: Program) -> None:
    loaded = LoadedProgram(program)
    runs = [images(program, seed) for seed in range(60)]
    expected = [Simulator(loaded).run(inputs) for inputs in runs]
    for workers in (1, 3, None):
        for result, wanted in zip(run_many(loaded, iter(runs), workers), expected, strict=True):
            same(result, wanted)


def test_all_of_a_chunk_are_those_of_single_runs() -> None:
    for seed in range(20):
        program = random_program(seed, length=6)
        runs = [random_input(program, seed + index) for index in range(4)]
        simulator = Simulator(program)
        for result, inputs in zip(simulator.run_all(runs), runs, strict=True):
            same(result, Simulator(program).run(inputs))
        assert simulator.run_all([]) == []


def test_inputs_that_do_not_lie_in_one_piece_are_taken(program: Program) -> None:
    (whole,) = images(program, 1)
    strided = np.repeat(whole, 2, axis=-1)[..., ::2]
    assert not strided.flags.c_contiguous
    same(Simulator(program).run_all([[strided]])[0], Simulator(program).run([whole]))


def test_chunks_grow_to_what_their_runs_take(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run_all = Simulator.run_all

    def noted(self: Simulator, runs: list[list[Int8Array]]) -> object:
        sizes.append(len(runs))
        return run_all(self, runs)

    monkeypatch.setattr(Simulator, "run_all", noted)
    monkeypatch.setattr(many, "CHUNK_SECONDS", 1e9)
    monkeypatch.setattr(many, "MOST_RUNS", 7)
    values = images(program, 1)
    assert len(list(run_many(LoadedProgram(program), [values] * 50, 1))) == 50
    assert sizes[:3] == [1, 1, 1]  # nothing is known of them yet
    assert set(sizes[3:-1]) == {7}
    monkeypatch.setattr(many, "MOST_BYTES", 1)
    sizes.clear()
    assert len(list(run_many(LoadedProgram(program), [values] * 9, 1))) == 9
    assert set(sizes) == {1}


def test_few_are_held_at_a_time(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "CHUNK_SECONDS", 0.0)
    taken = itertools.count()

    def endless() -> Iterator[list[Int8Array]]:
        while True:
            next(taken)
            yield images(program, 1)

    results = run_many(LoadedProgram(program), endless(), 2)
    for _ in range(10):
        next(results)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert next(taken) <= 10 + 2 * many.WAITING + 1


def test_what_fails_comes_after_the_results_before_it(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "CHUNK_SECONDS", 1e9)
    good = images(program, 1)
    runs = [good] * 9 + [[good[0][..., :-1]]] + [good] * 9
    results = run_many(LoadedProgram(program), runs, 2)
    for _ in range(9):
        same(next(results), Simulator(program).run(good))
    with pytest.raises(ValueError, match=f"input '{program.inputs[0].name}'"):
        next(results)
    with pytest.raises(ValueError, match="workers = 0"):
        list(run_many(LoadedProgram(program), [], 0))
    with pytest.raises(ValueError, match="0 inputs given"):
        Simulator(program).run_all([good, []])


def test_null_is_refused(program: Program) -> None:
    error = abi_table.CError()
    code = abi.c_library().re2na_run_many(None, 1, None, None, None, None, None, error)
    with pytest.raises(SimulatorError, match="re2na_run_many: machine, inputs or outputs is NULL"):
        library._check(code, error)
