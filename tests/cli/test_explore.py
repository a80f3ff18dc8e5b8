"""`re2na explore`: what it prints and writes, and what it says about sweeps that cannot be made."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_commands import NUMBER, check
from tests.cli.test_failures import assert_failure

ROW = {
    "sram_bytes": int,
    "array_shapes": str,
    "cycles": int,
    "microseconds": float,
    "cycles_bound": int,
    "utilisation": float,
    "dram_bytes": int,
    "energy_uj": float,
    "sram_peak_bytes": int,
    "area_mm2": float,
    "offloaded_macs_share": NUMBER,
    "pareto": bool,
    "pruned": bool,
    "error": (str, type(None)),
}


def test_json_and_csv(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    sweep = ("--sweep", "sram_bytes=16384,1572864,array_shapes=none,32x128")
    found = re2na("explore", quantized, *sweep, "--csv", tmp_path / "rows.csv", "--jobs", 2, "--json")
    assert found.code == 0, found.stderr
    assert found.json["fields"] == ["sram_bytes", "array_shapes"]
    for row in found.json["rows"]:
        check(row, ROW)
        assert row["error"] is None
    with (tmp_path / "rows.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [row["sram_bytes"] for row in written] == ["16384", "16384", "1572864", "1572864"]
    assert [int(row["cycles"]) for row in written] == [row["cycles"] for row in found.json["rows"]]
    assert [row["pareto"] for row in written] == [str(int(row["pareto"])) for row in found.json["rows"]]


def test_table_figure_and_failed_points(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sweep = ("--sweep", "array_rows=64,32", "--sweep", "array_shapes=none,32x128")
    arch = tmp_path / "arch.toml"
    arch.write_text("dram_bytes_per_cycle = 8\n")
    found = re2na("explore", quantized, *sweep, "--arch", arch, "--jobs", 1, "--plot", tmp_path / "front.png")
    assert found.code == 0, found.stderr
    for word in ("Pareto front", "100.00%", "array_rows = 32, array_shapes = 32x128: ", "has not 2048 PEs"):
        assert word in " ".join(found.stdout.split())
    assert f"wrote {tmp_path / 'front.png'}" in found.stdout
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_left_out_is_told_and_heat_maps_are_drawn(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sweep = ("--sweep", "sram_bytes=65536,131072,mac_interval=1,5", "--jobs", 1, "--prune")
    heat = ("--heat", "energy_uj", tmp_path / "energy.png", "--heat", "cycles", tmp_path / "cycles.svg")
    found = re2na("explore", quantized, *sweep, *heat)
    assert found.code == 0, found.stderr
    assert "of 4 machines were not compiled for (--prune)" in " ".join(found.stdout.split())
    assert f"wrote {tmp_path / 'energy.png'}" in found.stdout
    assert "not compiled for: beaten by its bound" in (tmp_path / "cycles.svg").read_text()


def test_heat_maps_that_cannot_be_drawn(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    two = ("explore", quantized, "--sweep", "sram_bytes=65536,131072,mac_interval=1,5")
    assert_failure(re2na(*two, "--heat", "error", tmp_path / "x.png"), 2, "'error' is no column with numbers", "cycles")
    one = ("explore", quantized, "--sweep", "clock_mhz=100,200", "--heat", "cycles", tmp_path / "x.png")
    assert_failure(re2na(*one), 2, "two swept fields, 1 is swept")
    many = ",".join(str(100 + clock) for clock in range(13))
    deep = ("explore", tmp_path / "no.onnx", "--sweep", f"sram_bytes=65536,mac_interval=1,clock_mhz={many}")
    assert_failure(
        re2na(*deep, "--heat", "cycles", tmp_path / "x.png"), 2, "13 panels, one for each machine of clock_mhz"
    )


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("sram=1", ("unknown field 'sram'", "sram_bytes")),
        ("sram_bytes=12", ("sram_bytes = 12 is outside 1024..2147483648",)),
        ("sram_bytes=many", ("sram_bytes = 'many' is no integer",)),
        ("sram_bytes=2048,2048", ("sram_bytes = 2048 is given twice",)),
        ("sram_bytes", ("'sram_bytes' is no FIELD=VALUE",)),
        ("acc_bits=16,17", ("acc_bits changes the arithmetic",)),
        ("array_shapes=5x5", ("array_shapes: '5x5'", "power of two")),
    ],
)
def test_sweeps_that_cannot_be_made(re2na: Command, quantized: Path, sweep: str, words: tuple[str, ...]) -> None:
    assert_failure(re2na("explore", quantized, "--sweep", sweep), 2, "sweep: ", *words)


def test_what_is_missing_is_told_before_the_work(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    assert re2na("explore", quantized).code == 2
    arguments = ("explore", quantized, "--sweep", "clock_mhz=100")
    assert re2na(*arguments, "--jobs", "0").code == 2
    assert_failure(re2na(*arguments, "--csv", tmp_path / "no" / "rows.csv"), 2, "does not exist")
    assert_failure(re2na(*arguments, "--plot", tmp_path / "front.pdf"), 2, ".png or .svg")
    assert_failure(re2na("explore", tmp_path / "no.onnx", *arguments[2:]), 2, "No such file")


def test_float_model_without_calibration(re2na: Command, demo_data: Path) -> None:
    found = re2na("explore", demo_data / "lenet5_mnist.onnx", "--sweep", "clock_mhz=100")
    assert_failure(found, 2, "needs calibration images (--calibration)")
