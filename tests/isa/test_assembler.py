"""Encoder, decoder, assembler and disassembler undo each other, for every instruction and every value."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_re2na.codegen.generate.files import main
from tvm_re2na.codegen.isa import (
    INSTRUCTIONS,
    AssembleError,
    DecodeError,
    EncodeError,
    Instruction,
    InstructionFormat,
    assemble,
    decode,
    disassemble,
    encode,
    make,
)
from tvm_re2na.codegen.isa.table import BY_NAME


def instructions_of(row: InstructionFormat) -> st.SearchStrategy[Instruction]:
    values = st.fixed_dictionaries({field.name: st.integers(field.low, field.high) for field in row.body})
    tokens = st.integers(0, 7)
    return st.builds(
        lambda source, wait, signal, body: make(row.name, source, **body).with_tokens(wait, signal),
        st.integers(0, 65535),
        tokens,
        tokens,
        values,
    )


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.name)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_round_trips_of_every_opcode(row: InstructionFormat, data: st.DataObject) -> None:
    instruction = data.draw(instructions_of(row))
    code = encode([instruction])
    assert len(code) == row.size and len(code) % 8 == 0
    assert decode(code) == [instruction]
    assert assemble(str(instruction)) == [instruction]


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.name)
def test_what_is_outside_its_limits_can_be_written_as_it_was_read(row: InstructionFormat) -> None:
    for values in ({field.name: field.lowest for field in row.body}, {field.name: field.highest for field in row.body}):
        instruction = Instruction(row, values)
        assert decode(encode([instruction])) == [instruction]
        for name in values:
            with pytest.raises(EncodeError, match=f"{row.name}: {name} = {2**32} is outside"):
                encode([Instruction(row, values | {name: 2**32})])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of([instructions_of(row) for row in INSTRUCTIONS]), max_size=8))
def test_round_trips_of_programs(instructions: list[Instruction]) -> None:
    assert decode(encode(instructions)) == instructions
    assert assemble(disassemble(instructions, ["first layer", "second # layer\nwith a name"])) == instructions


def test_fields_with_a_default_need_not_be_given() -> None:
    short = "DENSE source=0 " + " ".join(
        f"{field.name}=1" for field in BY_NAME["DENSE"].body if field.name not in BY_NAME["DENSE"].defaults
    )
    (instruction,) = assemble(short)
    assert instruction["mask_addr"] == 0
    assert assemble(str(instruction)) == [instruction]
    assert "mask_addr" not in str(instruction)
    with pytest.raises(AssembleError, match=r"missing \['steps'\]"):
        assemble(short.replace("steps=1", ""))


def test_a_listing_names_offsets_and_sources() -> None:
    listing = disassemble([make("RECONFIGURE", mode=1, rows=64), make("HALT", 1)], ["conv1", "fc"])
    assert listing == "RECONFIGURE source=0 mode=1 rows=64  # 0x00000 conv1\nHALT source=1  # 0x00008\n", (
        "HALT is no layer's"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nNOP", "line 3: unknown instruction 'NOP'; known: HALT, "),
        ("RECONFIGURE mode=256 rows=64", "line 1: RECONFIGURE: mode = 256 is outside 0..4"),
        ("RECONFIGURE mode=1 rows=0", "line 1: RECONFIGURE: rows = 0 is outside 1..65535"),
        ("RECONFIGURE mode=x", "line 1: RECONFIGURE: mode = 'x' is no number"),
        ("RECONFIGURE", r"line 1: RECONFIGURE: missing \['mode', 'rows'\]"),
        ("RECONFIGURE mode=1 mode=2", "line 1: RECONFIGURE: field 'mode' is there twice"),
        ("RECONFIGURE speed=1", "line 1: RECONFIGURE: unknown field 'speed'; known: mode, "),
        ("HALT wait", "line 1: HALT: 'wait' is no field=value"),
        ("HALT wait=load,core", "line 1: HALT: wait names no engine 'core'; known: load, array, store"),
        ("HALT source=65536", "line 1: HALT: source = 65536 is outside 0..65535"),
        ("HALT source=-1", "line 1: HALT: source = -1 is outside 0..65535"),
    ],
)
def test_errors_name_line_field_and_limit(text: str, message: str) -> None:
    with pytest.raises(AssembleError, match=message):
        assemble(text)


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.name)
def test_truncated_and_reserved_bits_are_refused(row: InstructionFormat) -> None:
    code = encode([make(row.name, **{field.name: field.low for field in row.body})])
    with pytest.raises(DecodeError, match="offset 0"):
        decode(code[:-1])
    with pytest.raises(DecodeError, match="zero by definition"):
        decode(bytes([code[0], code[1] | 0x40]) + code[2:])  # a flag
    with pytest.raises(DecodeError, match="unknown opcode 0xee"):
        decode(b"\xee" + code[1:])


def test_the_header_and_the_documentation_are_up_to_date() -> None:
    assert main(["--check", "--root", str(Path(__file__).parents[2])]) == 0
