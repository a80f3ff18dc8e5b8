"""Fields of the architecture description: how one is declared, checked, read from a file and written to one."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tvm_re2na.codegen.errors import Re2naError

LONGEST_SHAPE = len("16777216x16777216")
LONGEST_SHOWN = 100  # characters of a value in a message


class ArchitectureError(Re2naError, ValueError):
    """A field of an architecture description is unknown, of the wrong type, or outside its limits."""


def _field(default: Any, kind: str, unit: str, source: str, low: int = 1, high: int = 2**40) -> Any:
    meta = {"kind": kind, "unit": unit, "source": source, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=meta)


def fact(default: Any, unit: str, source: str, low: int = 1, high: int = 2**40) -> Any:
    """A number the hardware group has published; `source` says where."""
    return _field(default, "fact", unit, source, low, high)


def assumption(default: Any, unit: str, reason: str, low: int = 1, high: int = 2**40) -> Any:
    """A number of ours, to be replaced when the hardware group publishes one; `reason` says why this value."""
    return _field(default, "assumption", unit, reason, low, high)


def unknown_field(name: str, known: Iterable[str]) -> str:
    """For a message: the field that was meant, or, where none is like it, all of them."""
    names = list(known)
    near = get_close_matches(shortened(name), names, 1)
    return f"unknown field '{shortened(name)}'; " + (
        f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    )


def shown(value: Any) -> str:
    """A value in a message, however large it is."""
    try:
        return shortened(repr(value))
    except ValueError:  # Python writes no numbers of more than 4300 digits
        return "a number of thousands of digits"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def check(field: dataclasses.Field[Any], value: Any) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArchitectureError(f"architecture: {field.name} = {shown(value)} is no integer")
    if not low <= value <= high:
        raise ArchitectureError(f"architecture: {field.name} = {shown(value)} is outside {low}..{high}")


def listed_shapes(bits: int, pes: int) -> list[tuple[int, int]]:
    """(rows, columns) of the set bits; the columns are rounded down."""
    return [(1 << bit, pes >> bit) for bit in range(bits.bit_length()) if bits >> bit & 1]


def _parse_shapes(names: list[Any]) -> int:
    """A set of shapes from `["32x128", ...]`; that the columns fit the number of PEs is checked with the other fields."""
    bits = 0
    for name in names:
        rows, _, columns = name.partition("x") if isinstance(name, str) and len(name) <= LONGEST_SHAPE else ("", "", "")
        if not (rows.isdecimal() and columns.isdecimal()) or int(rows) < 1 or int(rows) & (int(rows) - 1):
            raise ArchitectureError(
                f"architecture: array_shapes: {shown(name)} is no ROWSxCOLUMNS with ROWS a power of two"
            )
        bits |= int(rows)
    return bits


def parse(field: dataclasses.Field[Any], value: Any) -> Any:
    if field.name == "array_shapes" and isinstance(value, list):
        return _parse_shapes(value)
    if isinstance(field.default, enum.IntEnum) and isinstance(value, str):
        modes = type(field.default).__members__
        if value.upper() not in modes:
            raise ArchitectureError(f"architecture: {field.name} = {shown(value)}; known: {', '.join(modes).lower()}")
        return modes[value.upper()]
    return value


def shape_name(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def toml_line(field: dataclasses.Field[Any], value: Any, shapes: tuple[tuple[int, int], ...]) -> str:
    text = f'"{value.name.lower()}"' if isinstance(value, enum.IntEnum) else str(value)
    if field.name == "array_shapes":
        text = str([shape_name(shape) for shape in shapes]).replace("'", '"')
    meta = field.metadata
    return f"{field.name} = {text}  # {meta['unit']}; {meta['kind']}: {meta['source']}\n"
