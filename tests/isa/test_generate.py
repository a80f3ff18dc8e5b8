"""What the C header says of the table beyond the decoder: names, and fields for what works on any instruction."""

from __future__ import annotations

import enum
import re

import pytest

from tvm_re2na.codegen.generate import files as generate
from tvm_re2na.codegen.isa.table import BY_NAME, HEADER, INSTRUCTIONS


def names_of(header: str, function: str) -> list[str]:
    body = header.split(f"{function}(int64_t value) {{")[1].split("\n}\n")[0]
    return re.findall(r'case \w+: return "(\w+)";', body)


def test_every_member_of_an_enum_has_its_name() -> None:
    header = generate.c_header()
    assert names_of(header, "re2na_mode_name") == ["conv", "dense", "grouped", "pool", "eltwise"]
    assert names_of(header, "re2na_engine_name") == ["load", "array", "store"]


def test_a_further_member_is_named_without_a_change_of_c(monkeypatch: pytest.MonkeyPatch) -> None:
    further = enum.IntEnum("Mode", "CONV DENSE GROUPED POOL ELTWISE SOFTMAX", start=0)  # type: ignore[misc]
    further.__doc__ = "One more."
    monkeypatch.setattr(generate, "ENUMS", (further,))
    assert names_of(generate.c_header(), "re2na_mode_name")[-1] == "softmax"


def test_the_fields_are_the_tables() -> None:
    header = generate.c_header()
    own = {field.name: field.name for field in HEADER}
    for name, fields, places, bit in [
        ("HEADER", HEADER, own, 0),
        *((row.name, row.body, row.places, 32) for row in INSTRUCTIONS),
    ]:
        body = header.split(f"#define RE2NA_{name}_FIELDS(X)")[1].split("\n\n")[0]
        listed = [
            (field, int(at), int(bits), bool(int(is_signed)))
            for field, at, bits, is_signed in re.findall(r"X\(([\w.]+), (\d+), (\d+), (\d)\)", body)
        ]
        expected = []
        for field in fields:
            expected.append((places[field.name], bit, field.bits, field.signed))
            bit += field.bits
        assert listed == expected


def test_what_instructions_have_alike_is_one_struct() -> None:
    """CONV and POOL have a window and two tensors; DENSE lacks some of their fields and keeps the rest for itself."""
    header = generate.c_header()
    for name, groups in (("conv", 4), ("pool", 3), ("dense", 0)):
        body = header.split(f"typedef struct re2na_{name} {{")[1].split("}")[0]
        assert len(re.findall(r"^  re2na_(?:sliding|view) \w+;$", body, flags=re.MULTILINE)) == groups
    assert header.count("int64_t kernel_h;") == 1
    conv = BY_NAME["CONV"].places
    assert (conv["kernel_h"], conv["in_addr"], conv["add_row_stride"]) == (
        "window.kernel_h",
        "input.addr",
        "operand.row_stride",
    )
    assert len(set(conv.values())) == len(conv)
