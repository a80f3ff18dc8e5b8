"""The architecture description: facts, assumptions, TOML, limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tvm_re2na.codegen.arch import AccOverflow, Architecture, WeightCoding
from tvm_re2na.codegen.arch_fields import ArchitectureError

FACTS = {"array_rows": 64, "array_columns": 64, "sram_bytes": 1572864, "acc_bits": 17, "data_bits": 8, "mac_latency": 5}


def test_facts_are_the_published_numbers_and_everything_else_is_an_assumption() -> None:
    kinds = {field.name: field.metadata["kind"] for field in dataclasses.fields(Architecture)}
    assert {name for name, kind in kinds.items() if kind == "fact"} == set(FACTS)
    assert set(kinds.values()) == {"fact", "assumption"}
    assert {name: getattr(Architecture(), name) for name in FACTS} == FACTS


def test_every_field_says_where_it_comes_from() -> None:
    for field in dataclasses.fields(Architecture):
        assert len(field.metadata["source"]) > 10, field.name


def test_toml_round_trip(tmp_path: Path) -> None:
    arch = Architecture(mac_interval=1, acc_overflow=AccOverflow.SATURATE, sram_bytes=65536)
    path = tmp_path / "arch.toml"
    path.write_text(arch.to_toml())
    assert Architecture.from_toml(path) == arch
    assert Architecture.from_words(arch.as_words()) == arch


def test_peak_is_819_macs_a_cycle() -> None:
    assert Architecture().peak_macs_per_cycle == pytest.approx(819.2)


def test_the_area_is_what_its_parts_say() -> None:
    fields = {"pe_area_um2": 100, "sram_area_um2": 10, "dram_area_um2": 1000, "shape_area_um2": 7}
    own = Architecture(array_rows=4, array_columns=4, sram_bytes=2048, dram_bytes_per_cycle=3, **fields)
    assert own.area_mm2 * 1e6 == pytest.approx(16 * 100 + 2 * 10 + 3 * 1000)
    more = dataclasses.replace(own, array_shapes=2 | 4 | 8)  # 4x4 is the array's own
    assert more.area_mm2 * 1e6 == pytest.approx(16 * (100 + 2 * 7) + 2 * 10 + 3 * 1000)
    looking = dataclasses.replace(own, activation_table=1)  # 256 bytes for each row
    assert looking.area_mm2 * 1e6 == pytest.approx(16 * 100 + 3 * 10 + 3 * 1000)
    lanes = {"decoder_bytes_per_cycle": 8, "decoder_area_um2": 50}
    golomb, huffman = (dataclasses.replace(own, weight_coding=coding, **lanes) for coding in list(WeightCoding)[1:])
    assert golomb.area_mm2 * 1e6 == pytest.approx(16 * 100 + 2 * 10 + 3 * 1000 + 8 * 50)
    assert huffman.area_mm2 - golomb.area_mm2 == pytest.approx(
        8 * 129 / 1024 * 10 / 1e6
    )  # a table of magnitudes for each
    assert dataclasses.replace(own, **lanes).area_mm2 == own.area_mm2
    assert Architecture().area_mm2 == pytest.approx(4.4, abs=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sram = 3", "unknown field 'sram'"),
        ("acc_bits = 99", "acc_bits = 99 is outside 2..32"),
        ("acc_bits = 1.5", "acc_bits = 1.5 is no integer"),
        ("acc_bits = true", "acc_bits = True is no integer"),
        ('acc_overflow = "explode"', "acc_overflow = 'explode'; known: wrap, saturate"),
        ("acc_bits = ", "is no TOML file"),
    ],
)
def test_a_bad_description_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "arch.toml"
    path.write_text(text)
    with pytest.raises(ArchitectureError, match="architecture") as error:
        Architecture.from_toml(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clock_mhz = " + "[" * 5000 + "]" * 5000, "brackets too deep within each other"),
        ("clock_mhz = " + "9" * 10000, "is no TOML file: Exceeds the limit"),
        ("clock_mhz = 0x" + "f" * 10000, "clock_mhz = a number of thousands of digits is outside 1..10000"),
        ("clock_mhz = [0x" + "f" * 10000 + "]", "clock_mhz = a number of thousands of digits is no integer"),
        ("clock_mhz = '" + "a" * 10000 + "'", f"clock_mhz = '{'a' * 99}... is no integer"),
        (f"array_shapes = ['{'9' * 5000}x1']", f"array_shapes: '{'9' * 99}... is no ROWSxCOLUMNS"),
        ("a" * 10000 + " = 1", f"unknown field '{'a' * 100}...'"),
        ("#" * 2**16 + "\n", "is larger than 65536 bytes"),
    ],
)
def test_files_without_end(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "arch.toml"
    path.write_text(text)
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_toml(path)
    assert message in str(caught.value)
