"""What can be swept, what is said about the rest, and the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.exploration.pareto import pareto_front
from tvm_re2na.exploration.sweep import SweepError, make_grid, parse_sweep

SMALL = Architecture(array_rows=8, array_columns=8, sram_bytes=4096)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["sram_bytes=1,2"], {"sram_bytes": ["1", "2"]}),
        (["sram_bytes=1,2", "clock_mhz=3"], {"sram_bytes": ["1", "2"], "clock_mhz": ["3"]}),
        (["sram_bytes=1,2,clock_mhz=3,4"], {"sram_bytes": ["1", "2"], "clock_mhz": ["3", "4"]}),
        ([" sram_bytes = 1 , 2 "], {"sram_bytes": ["1", "2"]}),
        (["array_shapes=none,32x128+16x256"], {"array_shapes": ["none", "32x128+16x256"]}),
    ],
)
def test_command_line_forms(texts: list[str], expected: dict[str, list[str]]) -> None:
    assert parse_sweep(texts) == expected


@pytest.mark.parametrize("text", ["", "sram_bytes", "sram_bytes=", "sram_bytes=1,,2", "=3", "4,sram_bytes=3"])
def test_text_that_is_no_sweep(text: str) -> None:
    with pytest.raises(SweepError, match="no FIELD=VALUE"):
        parse_sweep([text])


def test_the_grid_has_every_combination_in_order() -> None:
    sweep = {"sram_bytes": [2048, "4096"], "array_shapes": ["none", "4x16+2x32", ["16x4"]], "clock_mhz": [100]}
    points = make_grid(sweep, SMALL)
    shapes = ["none", "4x16+2x32", "16x4"]
    assert [tuple(point.values.values()) for point in points] == [(s, t, 100) for s in (2048, 4096) for t in shapes]
    for point in points:
        assert point.arch is not None
        assert point.arch.sram_bytes == point.values["sram_bytes"]
        assert point.arch.array_rows == 8
    assert points[1].arch is not None
    assert points[1].arch.shapes == ((8, 8), (2, 32), (4, 16))
    assert points[0].arch is not None
    assert points[0].arch.shapes == ((8, 8),)


def test_modes_are_shown_by_their_names() -> None:
    points = make_grid({"weight_coding": ["none", 1, "HUFFMAN"]}, SMALL)
    assert [point.values["weight_coding"] for point in points] == ["none", "golomb", "huffman"]
    assert [point.arch and point.arch.weight_coding for point in points] == list(WeightCoding)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "no field"),
        ({"weight_coding": ["golomb", "1"]}, "weight_coding = golomb is given twice"),
        ({"weight_coding": ["none", "zip"]}, "weight_coding = 'zip'; known: none, golomb, huffman"),
        ({"weight_coding": [3]}, "weight_coding = 3 is outside 0..2"),
        ({"sram": [1]}, "unknown field 'sram'; known: array_rows, "),
        ({"acc_bits": [16, 17]}, "acc_bits changes the arithmetic"),
        ({"rounding": ["truncate"]}, "rounding changes the arithmetic"),
        ({"sram_bytes": []}, "sram_bytes = [] is no list of at least one value"),
        ({"sram_bytes": "4096"}, "sram_bytes = '4096' is no list of at least one value"),
        ({"sram_bytes": [4096, "4096"]}, "sram_bytes = 4096 is given twice"),
        ({"sram_bytes": ["much"]}, "sram_bytes = 'much' is no integer"),
        ({"sram_bytes": [2.5]}, "sram_bytes = 2.5 is no integer"),
        ({"sram_bytes": [4096, 12]}, "sram_bytes = 12 is outside 1024..2147483648"),
        ({"sram_bytes": [4096], "clock_mhz": [1, 0]}, "clock_mhz = 0 is outside 1..10000"),
        ({"array_shapes": ["none", "3x128"]}, "array_shapes: '3x128' is no ROWSxCOLUMNS"),
        ({"array_shapes": ["none", "8x9"]}, "array_shapes: '8x9' has not 64 PEs"),
    ],
)
def test_what_cannot_be_swept(sweep: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError) as error:
        make_grid(sweep, SMALL)
    assert str(error.value).startswith("sweep: ")
    assert message in str(error.value)


def test_a_combination_that_is_no_machine_is_a_point_with_its_error() -> None:
    points = make_grid({"array_rows": [8, 4], "array_shapes": ["none", "4x16"]}, SMALL)
    assert [point.error for point in points[:3]] == [None] * 3
    assert points[3].arch is None
    assert points[3].error == "architecture: array_shapes: '4x16' has not 32 PEs"
    first = make_grid({"array_shapes": ["4x16", "none"], "array_rows": [4, 8]}, SMALL)
    assert [point.error is None for point in first] == [False, True, True, True]
    with pytest.raises(SweepError, match="'4x16' has not 32 PEs"):
        make_grid({"array_shapes": ["4x16"], "array_rows": [4]}, SMALL)


@pytest.mark.parametrize("seed", range(30))
def test_the_front_is_what_brute_force_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = [tuple(map(float, row)) for row in rng.integers(0, int(rng.integers(2, 9)), (int(rng.integers(0, 40)), 3))]

    def beaten(cost: tuple[float, ...]) -> bool:
        return any(other != cost and all(a <= b for a, b in zip(other, cost, strict=True)) for other in costs)

    assert pareto_front(costs) == [not beaten(cost) for cost in costs]
