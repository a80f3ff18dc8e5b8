"""The C simulator and the reference agree on results, counters and cycles, on random programs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.programs import SIMPLE, long_sum_program, random_input, random_program
from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.runtime import reference, timing
from tvm_re2na.runtime.library import Simulator

SEEDS = st.integers(0, 2**32 - 1)


def check(seed: int, names: tuple[str, ...] = SIMPLE, length: int = 4) -> None:
    program = random_program(seed, names, length)
    inputs = random_input(program, seed)
    simulator = Simulator(program)
    assert simulator.timing == timing.timing(program)
    expected = reference.run(program, inputs, check_hazards=False)
    for _ in range(2):  # a machine can run again
        result = simulator.run(inputs)
        assert result.counters == expected.counters
        for output, wanted in zip(result.outputs, expected.outputs, strict=True):
            np.testing.assert_array_equal(output, wanted)


@pytest.mark.parametrize("name", SIMPLE)
@settings(max_examples=250, deadline=None)
@given(seed=SEEDS)
def test_one_instruction(name: str, seed: int) -> None:
    check(seed, (name,), length=1)


@settings(max_examples=600, deadline=None)
@given(seed=SEEDS)
def test_several_instructions(seed: int) -> None:
    check(seed, length=8)


def test_a_group_of_pixels_that_overlap() -> None:
    """Each is as far from the next as a group has channels."""
    check(3658, ("CONV",), length=1)


@pytest.mark.parametrize(
    ("acc_bits", "mode"), [(17, AccOverflow.WRAP), (32, AccOverflow.WRAP), (32, AccOverflow.SATURATE)]
)
@pytest.mark.parametrize("value", [-128, 127])
def test_sums_beyond_32_bits(acc_bits: int, mode: AccOverflow, value: int) -> None:
    """195,075 steps: 255 rows x 255 columns x 3 channels: |sum| reaches 2**31."""
    arch = Architecture(acc_bits=acc_bits, acc_overflow=mode)
    program = long_sum_program(arch, channels=3, value=value)
    inputs = [np.full(tensor.shape, -128, np.int8) for tensor in program.inputs]
    result, expected = Simulator(program).run(inputs), reference.run(program, inputs, check_hazards=False)
    assert result.counters == expected.counters
    assert result.counters.total.macs == 255 * 255 * 3
    np.testing.assert_array_equal(result.outputs[0], expected.outputs[0])


def test_two_threads_run_two_machines_of_equal_programs() -> None:
    program = random_program(5, length=8)
    inputs = [random_input(program, seed) for seed in range(2)]
    expected = [reference.run(program, value, check_hazards=False) for value in inputs]
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
