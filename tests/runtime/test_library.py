"""The binding and the bridge."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import abi, library, reference
from tvm_re2na.runtime.library import LoadedProgram, Simulator, SimulatorError
from tvm_re2na.runtime.result import Int8Array


def test_a_program_comes_as_object_bytes_or_path(tmp_path: Path) -> None:
    program = random_program(2)
    path = tmp_path / "p.re2na"
    program.save(path)
    inputs = random_input(program, 2)
    results = [Simulator(given).run(inputs) for given in (program, program.to_bytes(), path, str(path))]
    assert all((result.outputs[0] == results[0].outputs[0]).all() for result in results)
    assert abi.library_path().is_file()
    abi.load_library_global()


def test_results_stay_what_they_are_while_others_are_made() -> None:
    program = random_program(7, length=6)
    simulator, given = Simulator(program), [random_input(program, seed) for seed in (1, 2)]
    expected = [reference.run(program, inputs, check_hazards=False) for inputs in given]
    for array in given[1]:
        array.flags.writeable = False
    results = [simulator.run(inputs) for inputs in given] + simulator.run_all(given)
    for result, wanted in zip(results, expected * 2, strict=True):
        np.testing.assert_array_equal(result.outputs[0], wanted.outputs[0])
        assert result.counters == wanted.counters


def outputs_of(program: Program) -> list[Int8Array]:
    return [np.empty(tensor.shape, np.int8) for tensor in program.outputs]


def test_the_bridge_runs_and_adds_up() -> None:
    program = random_program(7, length=6)
    data, inputs = program.to_bytes(), random_input(program, 7)
    expected = reference.run(program, inputs, check_hazards=False)
    library.bridge_reset()
    for _ in range(3):
        outputs = outputs_of(program)
        library.execute(data, inputs, outputs)
        np.testing.assert_array_equal(outputs[0], expected.outputs[0])
    total = expected.counters.total
    assert library.bridge_totals() == {
        "runs": 3,
        "cycles": 3 * Simulator(program).timing.cycles,
        "macs": 3 * total.macs,
        "overflows": 3 * total.overflows,
        "dram_bytes": 3 * total.dram_bytes,
    }
    library.bridge_reset()
    assert set(library.bridge_totals().values()) == {0}


def test_the_bridge_names_what_is_wrong() -> None:
    data = random_program(7).to_bytes()
    with pytest.raises(SimulatorError, match="checksum"):
        library.execute(data[:-1] + b"\x01", [], [])
    with pytest.raises(SimulatorError, match="no Re2Na program"):
        library.execute(b"something else", [], [])


def test_the_bridge_keeps_few_programs_and_serves_many_threads() -> None:
    programs = [random_program(seed, length=3) for seed in range(40)]  # more than the bridge keeps
    data = [program.to_bytes() for program in programs]
    inputs = [random_input(program, seed) for seed, program in enumerate(programs)]
    expected = [Simulator(program).run(value).outputs[0] for program, value in zip(programs, inputs, strict=True)]
    library.bridge_reset()
    wrong: list[int] = []

    def work(first: int) -> None:
        for step in range(200):
            index = (first + step) % len(programs) if step % 3 else first
            outputs = outputs_of(programs[index])
            library.execute(data[index], inputs[index], outputs)
            if (outputs[0] != expected[index]).any():
                wrong.append(index)
            if step == 100:
                library.bridge_totals()

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 0, 20, 39)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert library.bridge_totals()["runs"] == 800
    library.bridge_reset()


def test_a_machine_outlives_its_program() -> None:
    """As the garbage collector may have it, which frees those of a cycle in any order."""
    program = random_program(4, length=3)
    inputs, expected = random_input(program, 0), Simulator(program).run(random_input(program, 0))
    simulator = Simulator(program)
    simulator.program.__del__()
    simulator.program._handle = None  # type: ignore[assignment]
    others = [
        LoadedProgram(random_program(seed, length=3)) for seed in range(20)
    ]  # whose memory could be the one that was freed
    outputs = [np.empty(port.shape, np.int8) for port in simulator.outputs]
    assert simulator._call.run(inputs, outputs) == 0 and len(others) == 20
    np.testing.assert_array_equal(outputs[0], expected.outputs[0])
