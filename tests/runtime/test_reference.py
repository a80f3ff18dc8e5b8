"""What only the reference checks: bytes that were never written, and bounds on the way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.runtime.programs import SRAM, changed, long_sum_program, random_input, random_program
from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.hazards import HazardError
from tvm_re2na.runtime.instructions import machine


def run(program: Program) -> None:
    reference.run(program, random_input(program, 0), check_hazards=False)


def test_unwritten_sram_cannot_be_read() -> None:
    program = changed(random_program(1, ("ELTWISE",), length=1), 0, bytes=100)
    with pytest.raises(machine.UninitialisedRead, match=r"instruction \d+ \([A-Z]+\): reads SRAM address 100, "):
        run(dataclasses.replace(program, instructions=(program.instructions[0], *program.instructions[-2:])))


def test_unwritten_dram_cannot_be_read() -> None:
    program = random_program(1, ("ELTWISE",), length=1)
    where = program.outputs[0].address
    with pytest.raises(machine.UninitialisedRead, match=rf"instruction 0 \(LOAD\): reads DRAM address {where}, "):
        run(changed(program, 0, dram_addr=where))


def test_an_output_that_was_never_stored_is_named() -> None:
    program = random_program(1, ("ELTWISE",), length=1)
    with pytest.raises(machine.UninitialisedRead, match="output 'sram': reads DRAM address"):
        run(dataclasses.replace(program, instructions=program.instructions[-1:]))


def test_bounds() -> None:
    program = random_program(1, ("ELTWISE",), length=1)
    with pytest.raises(
        machine.OutOfBounds, match=rf"instruction 0 \(LOAD\): touches SRAM address {SRAM}, it has {SRAM}"
    ):
        run(changed(program, 0, sram_addr=1))


def test_the_mode_must_suit() -> None:
    program = random_program(1, ("POOL",), length=1)
    code = tuple(at for at in program.instructions if at.name != "RECONFIGURE")
    with pytest.raises(machine.SimulationError, match="needs mode POOL, the array is in none"):
        run(dataclasses.replace(program, instructions=code))


@pytest.mark.parametrize(
    ("index", "values", "message"),
    [
        (1, {"rows": 16}, r"1 \(RECONFIGURE\): rows = 16, the shapes in mode CONV are \(\(64, 64\), \(32, 128\)\)"),
        (1, {"rows": 32, "mode": 3}, r"rows = 32, the shapes in mode POOL are \(\(64, 64\),\)"),
        (2, {"rows": 32}, r"2 \(CONV\): rows = 32, the array's shape has 64"),
        (2, {"out_c": 65}, "out_c = 65 is outside 1..64"),
        (2, {"pool_h": 13, "pool_w": 5}, "window of 13 x 5, add = 0, 64 columns"),
        (2, {"pool_h": 2, "add": 1}, "window of 2 x 1, add = 1, 64 columns"),
        (2, {"steps": 65026}, "steps = 65026 is outside 0..65025"),
    ],
)
def test_shapes_windows_and_steps_have_limits(index: int, values: dict[str, int], message: str) -> None:
    program = long_sum_program(Architecture(array_shapes=32), 1, 1)
    with pytest.raises(machine.SimulationError, match=message):
        run(changed(program, index, **values))


def with_tokens(program: Program, tokens: list[tuple[int, int]]) -> Program:
    """The tokens (wait, signal) of all instructions."""
    code = [at.with_tokens(*pair) for at, pair in zip(program.instructions, tokens, strict=True)]
    return dataclasses.replace(program, instructions=tuple(code))


LOADED, COMPUTED = (0, 0b010), (0b001, 0b100)  # LOAD tells the array; the array waits for LOAD and tells STORE


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([LOADED, (0, 0), COMPUTED, (0b010, 0), (0, 0)], None),
        (
            [(0, 0), (0, 0), (0, 0b100), (0b010, 0), (0, 0)],
            r"2 \(CONV\): reads SRAM .* instruction 0 \(LOAD\) writes before",
        ),
        (
            [LOADED, (0, 0), (0b001, 0), (0, 0), (0, 0)],
            r"3 \(STORE\): reads SRAM .* instruction 2 \(CONV\) writes before",
        ),
        ([(0, 0b110), (0, 0), (0b001, 0), (0b001, 0), (0, 0)], r"3 \(STORE\): .* no token orders the two"),
    ],
)
def test_tokens_must_imply_program_order(tokens: list[tuple[int, int]], message: str | None) -> None:
    program = with_tokens(long_sum_program(Architecture(), 1, 1), tokens)
    inputs = random_input(program, 0)
    if message is None:
        reference.run(program, inputs)
    else:
        with pytest.raises(HazardError, match=message):
            reference.run(program, inputs)


def test_writing_what_another_engine_still_reads_is_a_hazard() -> None:
    program = long_sum_program(Architecture(), 1, 1)
    code = [
        at.with_tokens(*pair)
        for at, pair in zip(program.instructions, [LOADED, (0, 0), COMPUTED, (2, 0), (0, 0)], strict=True)
    ]
    again = dataclasses.replace(program, instructions=(*code[:3], code[0].with_tokens(0, 0), *code[3:]))
    with pytest.raises(
        HazardError, match=r"3 \(LOAD\): writes SRAM address 0, which instruction 2 \(CONV\) reads before"
    ):
        reference.run(again, random_input(program, 0))


def four_steps(mode: AccOverflow, lsb: int) -> tuple[int, int]:
    """Result and overflows of 2**31 - 1 + 4 * (-128 * -128) in 17 bits."""
    program = long_sum_program(Architecture(acc_overflow=mode), 1, -128)
    index = next(index for index, at in enumerate(program.instructions) if at.name == "CONV")
    program = changed(program, index, kernel_h=2, kernel_w=2, steps=4, lsb=lsb)
    inputs = [np.full(tensor.shape, -128, np.int8) for tensor in program.inputs]
    outcome = reference.run(program, inputs, check_hazards=False)
    return outcome.outputs[0].item(), outcome.counters.total.overflows


def test_a_wrapping_sum_by_hand() -> None:
    # -1 + 2**16 is the largest number of 17 bits
    assert four_steps(AccOverflow.WRAP, lsb=10) == ((2**16 - 1) >> 10, 1)


def test_a_saturating_sum_by_hand() -> None:
    assert four_steps(AccOverflow.SATURATE, lsb=10) == (63, 5)  # the bias and each of the four steps are clipped
