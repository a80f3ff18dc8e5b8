"""The formulas of the cycle model by hand, and what keeps the table in order."""

from __future__ import annotations

import dataclasses

import pytest

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.generate.files import BEGIN, END, timing_documentation
from tvm_re2na.codegen.isa import INSTRUCTIONS, duration, duration_parts, make
from tvm_re2na.codegen.isa.durations import DURATIONS, field_names
from tvm_re2na.codegen.isa.expressions import MACHINE

ARCH = Architecture()
CONV = {"n": 1, "out_h": 10, "out_w": 13, "out_c": 64, "groups": 1, "rows": 64, "steps": 100}


def test_every_instruction_has_a_duration_of_known_names() -> None:
    assert set(DURATIONS) == {row.name for row in INSTRUCTIONS}
    for row in INSTRUCTIONS:
        own = {field.name for field in row.body}
        assert not own & MACHINE
        assert set(field_names(row.name)) <= own | MACHINE
        assert DURATIONS[row.name][-1].name == "cycles"


def conv(arch: Architecture = ARCH, **changed: int) -> dict[str, int]:
    return duration_parts(arch, "CONV", CONV | changed)


def test_a_convolution_by_hand() -> None:
    parts = conv()  # 130 pixels: 3 passes of 64; 64 + 64 bytes a step are no bottleneck
    assert (parts["passes"], parts["mac"], parts["leave"]) == (3, 3 * 100 * 5, 1)
    assert parts["cycles"] == 8 + 1500 + 5 + 0 + 1


def test_steps_that_are_not_there_take_no_time() -> None:
    assert conv(steps=25)["mac"] * 4 == conv()["mac"]
    assert conv(steps=0)["cycles"] == 8 + 0 + 5 + 1
    dense = {"n": 2, "out_c": 10, "last": 1, "steps": 30}
    assert duration_parts(ARCH, "DENSE", dense)["cycles"] == 8 + 2 * 30 * 5 + 5 + 1
    assert duration_parts(ARCH, "DENSE", dense | {"last": 0})["cycles"] == 8 + 2 * 30 * 5


def test_a_flat_shape_has_more_columns() -> None:
    parts = conv(dataclasses.replace(ARCH, array_shapes=16), rows=16, out_c=16)
    assert (parts["columns"], parts["passes"]) == (256, 1)


def test_the_output_path_pools_at_the_pace_of_its_comparisons() -> None:
    parts = conv(pool_h=2, pool_w=3)  # 10 windows at once
    assert (parts["at_once"], parts["passes"], parts["path"]) == (10, 13, 5)
    assert conv(add=1)["cycles"] == conv()["cycles"] + 1


def test_operands_come_at_the_pace_of_the_sram() -> None:
    assert conv(groups=64)["mac"] == 3 * 100 * 5  # 64 + 64 * 64 bytes a step in 5 cycles
    slow = dataclasses.replace(ARCH, mac_interval=1)
    assert conv(slow)["mac"] == 300
    assert conv(slow, groups=64)["mac"] == -(-300 * (64 + 64 * 64) // 4096)
    few = dataclasses.replace(ARCH, sram_bytes_per_cycle=16)
    assert duration_parts(few, "DENSE", {"n": 1, "out_c": 99, "last": 0, "steps": 10})["mac"] == 63


def test_each_row_of_the_array_looks_up_a_byte_a_cycle() -> None:
    fields = {"n": 2, "out_h": 5, "out_w": 7, "in_c": 3}
    assert duration_parts(ARCH, "LOOKUP", fields)["cycles"] == 8 + 1 + -(-210 // 64)
    few = dataclasses.replace(ARCH, sram_bytes_per_cycle=16)
    assert duration_parts(few, "LOOKUP", fields)["cycles"] == 8 + 256 // 16 + -(-2 * 210 // 16)


def test_a_mapping_says_the_same_as_an_instruction() -> None:
    eltwise = make("ELTWISE", a_addr=0, b_addr=0, out_addr=0, bytes=5000, shift_a=0, shift_b=0, unary=0, lo=0, hi=0)
    assert (
        duration(ARCH, eltwise) == duration_parts(ARCH, "ELTWISE", {"bytes": 5000, "unary": 0})["cycles"] == 8 + 4 + 1
    )
    assert duration(ARCH, make("HALT")) == 0
    with pytest.raises(KeyError, match="unary"):
        duration_parts(ARCH, "ELTWISE", {"bytes": 5000})


def test_the_generated_part_of_the_page_stands_between_its_marks() -> None:
    page = timing_documentation(f"before\n{BEGIN}stale\n{END}after\n")
    assert page.startswith("before\n") and page.endswith("after\n") and "stale" not in page
    with pytest.raises(ValueError, match="has no"):
        timing_documentation("nothing")
