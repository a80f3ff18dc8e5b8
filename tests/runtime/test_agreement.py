"""The C simulator and the reference agree on results, counters and cycles, on random programs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm_re2na.runtime import reference, timing
from tvm_re2na.runtime.library import Simulator

from tests.runtime.programs import SIMPLE, random_input, random_program

SEEDS = st.integers(0, 2**32 - 1)


def check(seed: int, names: tuple[str, ...] = SIMPLE, length: int = 4) -> None:
    program = random_program(seed, names, length)
    inputs = random_input(program, seed)
    simulator = Simulator(program)
    assert simulator.timing == timing.timing(program)
    expected = reference.run(program, inputs)
    for _ in range(2):  # a machine can run again
        result = simulator.run(inputs)
        assert result.counters == expected.counters
        for output, wanted in zip(result.outputs, expected.outputs, strict=True):
            np.testing.assert_array_equal(output, wanted)


@pytest.mark.parametrize("name", SIMPLE)
@settings(max_examples=150, deadline=None)
@given(seed=SEEDS)
def test_one_instruction(name: str, seed: int) -> None:
    check(seed, (name,), length=1)


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_several_instructions(seed: int) -> None:
    check(seed, length=8)


def test_two_threads_run_two_machines_of_equal_programs() -> None:
    program = random_program(5, length=8)
    inputs = [random_input(program, seed) for seed in range(2)]
    expected = [reference.run(program, value) for value in inputs]
    wrong: list[int] = []

    def work(index: int) -> None:
        simulator = Simulator(program)
        for _ in range(200):
            result = simulator.run(inputs[index])
            if result.counters != expected[index].counters or (result.outputs[0] != expected[index].outputs[0]).any():
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
