"""What fields may hold: the table in order, and limits by hand."""

from __future__ import annotations

import dataclasses

import pytest

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.generate.limit_text import range_text
from tvm_re2na.codegen.isa import INSTRUCTIONS, Field, make
from tvm_re2na.codegen.isa import limits as isa_limits
from tvm_re2na.codegen.isa.expressions import MACHINE
from tvm_re2na.codegen.isa.limits import find_outside, limit_names, limited, limits_of
from tvm_re2na.codegen.isa.table import BY_NAME, HEADER

ARCH = Architecture()
ELTWISE = {
    "a_addr": 0,
    "b_addr": 0,
    "out_addr": 0,
    "bytes": 1,
    "shift_a": 0,
    "shift_b": 0,
    "unary": 0,
    "lo": 0,
    "hi": 0,
}


def test_limits_are_of_known_names_and_narrow_what_bits_hold() -> None:
    for row in INSTRUCTIONS:
        own = {field.name: field for field in row.body}
        for field in limited(row.name):
            assert set(limit_names(field)) <= own.keys() | MACHINE, field
            assert field.where is None or field.where in own, field
            assert field.lowest <= field.low <= field.high <= field.highest, field
            assert field.least is None or field.least > field.lowest, field
            assert not isinstance(field.limit, int) or field.limit < field.highest, field
            if field.signed and isinstance(field.limit, str):
                assert own[field.limit].bits == field.bits and own[field.limit].signed, field


def test_a_field_is_checked_behind_those_that_its_limit_names() -> None:
    for row in INSTRUCTIONS:
        names = [field.name for field in limited(row.name)]
        assert set(names) == {field.name for field in row.body if field.is_limited}
        for number, field in enumerate(limited(row.name)):
            assert not set(limit_names(field)) & set(names[number:]), field


def test_limits_that_name_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = (Field("a", 8, "one", limit="b"), Field("b", 8, "other", limit="a"))
    monkeypatch.setitem(isa_limits.BY_NAME, "CIRCLE", dataclasses.replace(BY_NAME["HALT"], name="CIRCLE", body=body))
    with pytest.raises(ValueError, match="CIRCLE: the limits of a, b name each other"):
        limited("CIRCLE")


def test_bounds_by_hand() -> None:
    assert limits_of(ARCH, "CONV", "kernel_h") == (1, 65535)
    assert limits_of(ARCH, "CONV", "lsb") == (0, 16)
    assert limits_of(Architecture(acc_bits=32), "ELTWISE", "shift_b") == (0, 31)
    assert limits_of(ARCH, "CONV", "out_c", {"rows": 16}) == (1, 16)
    assert limits_of(ARCH, "CONV", "steps", {"kernel_h": 3, "kernel_w": 5, "in_c": 7, "groups": 2}) == (0, 45)
    assert limits_of(ARCH, "POOL", "lo", {"hi": -5}) == (-128, -5)
    assert limits_of(ARCH, "CONV", "add_lo", {"add": 1, "add_hi": 3}) == (-128, 3)
    assert limits_of(ARCH, "CONV", "add_lo", {"add": 0}) == (-128, 127)
    assert limits_of(ARCH, "CONV", "pad_top") == (0, 65535)
    wide = Architecture(array_rows=4096, array_columns=4096)
    assert limits_of(wide, "RECONFIGURE", "rows") == (1, 65535)  # no more than its bits hold
    with pytest.raises(KeyError, match="groups"):
        limits_of(ARCH, "CONV", "steps", {"kernel_h": 3, "kernel_w": 5, "in_c": 7})


def test_the_first_field_outside_is_named_with_its_limits() -> None:
    assert find_outside(ARCH, make("ELTWISE", **ELTWISE)) is None
    assert find_outside(ARCH, make("HALT")) is None
    large = make("ELTWISE", **ELTWISE | {"bytes": 2_000_000, "shift_a": 17})
    assert str(find_outside(ARCH, large)) == "bytes = 2000000 is outside 1..1572864"
    assert find_outside(Architecture(sram_bytes=2**21, acc_bits=18), large) is None


def test_the_documentation_gives_numbers_expressions_and_conditions() -> None:
    fields = {field.name: field for field in (*HEADER, *BY_NAME["CONV"].body)}
    shown = {name: range_text(fields[name]) for name in ("flags", "kernel_h", "pad_top", "lsb", "lo", "hi", "shift_a")}
    assert shown == {
        "flags": "0",
        "kernel_h": "1..65535",
        "pad_top": "0..65535",
        "lsb": "0..`acc_bits - 1`",
        "lo": "-128..`hi`",
        "hi": "-128..127",
        "shift_a": "0..`acc_bits - 1` where `add`",
    }
