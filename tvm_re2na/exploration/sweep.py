"""What to sweep: fields of the architecture with the values of each, and the grid of machines that they make."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arch_fields import ArchitectureError, unknown_field
from tvm_re2na.codegen.errors import Re2naError

Sweep: TypeAlias = Mapping[str, Sequence[Any]]
ARITHMETIC = ("acc_bits", "data_bits", "acc_overflow", "cut_overflow", "rounding")
FIELDS = tuple(field.name for field in dataclasses.fields(Architecture))
MODES = {
    field.name: type(field.default)
    for field in dataclasses.fields(Architecture)
    if isinstance(field.default, enum.IntEnum)
}
NO_SHAPES = "none"


class SweepError(Re2naError, ValueError):
    """A sweep cannot be made; the message names the field, the value and the limit."""


@dataclass(frozen=True)
class Point:
    """One point of the grid: the swept fields as they are shown, and the machine, or why it is none."""

    values: dict[str, int | str]
    arch: Architecture | None
    error: str | None = None

    @property
    def name(self) -> str:
        return ", ".join(f"{field} = {value}" for field, value in self.values.items())


def parse_sweep(texts: Iterable[str]) -> dict[str, list[str]]:
    """From the command line: `a=1,2` once for each field, or `a=1,2,b=3` where a token with `=` starts the next field."""
    sweep: dict[str, list[str]] = {}
    for text in texts:
        name = ""
        for token in text.split(","):
            field, equals, value = token.partition("=")
            if equals:
                name = field.strip()
                if name in sweep:
                    raise SweepError(f"sweep: {name} is given twice")
                sweep[name] = []
            else:
                value = token
            if not name or not value.strip():
                raise SweepError(f"sweep: '{text}' is no FIELD=VALUE,VALUE... (at '{token}')")
            sweep[name].append(value.strip())
    return sweep


def make_grid(sweep: Sweep, base: Architecture) -> list[Point]:
    """Every combination, the last field's values first; the other fields are those of `base`.

    Raises SweepError for a field that is unknown or changes the arithmetic, a value that is given twice, or one that makes no
    machine whatever it is combined with.
    """
    columns = {name: _column(name, values) for name, values in sweep.items()}
    if not columns:
        raise SweepError("sweep: no field to sweep")
    known = {name: int(getattr(base, name)) for name in FIELDS}
    combinations = itertools.product(*(column.items() for column in columns.values()))
    points = [_point(tuple(columns), combination, known) for combination in combinations]
    for name, column in columns.items():
        for shown in column:
            errors = [point.error for point in points if point.values[name] == shown]
            if None not in errors:
                raise SweepError(f"sweep: {str(errors[0]).removeprefix('architecture: ')}")
    return points


def _point(names: tuple[str, ...], combination: tuple[tuple[int | str, Any], ...], base: dict[str, Any]) -> Point:
    values = {name: shown for name, (shown, _) in zip(names, combination, strict=True)}
    fields = base | {name: value for name, (_, value) in zip(names, combination, strict=True)}
    try:
        return Point(values, Architecture.from_dict(fields))
    except ArchitectureError as error:
        return Point(values, None, str(error))


def _column(name: str, values: Sequence[Any]) -> dict[int | str, Any]:
    """What is shown of each value, and the value as the architecture takes it."""
    if name not in FIELDS:
        raise SweepError(f"sweep: {unknown_field(name, sweepable())}")
    if name in ARITHMETIC:
        raise SweepError(
            f"sweep: {name} changes the arithmetic: the network would have to be quantised anew for each value"
            f" (never swept: {', '.join(ARITHMETIC)}; set it with --arch)"
        )
    if isinstance(values, str) or not values:
        raise SweepError(f"sweep: {name} = {values!r} is no list of at least one value")
    column: dict[int | str, Any] = {}
    for given in values:
        shown, value = _shapes(given) if name == "array_shapes" else (given, _number(given))
        if isinstance(value, int):
            shown = _mode(name, value)
        elif name in MODES and isinstance(value, str):
            shown = value.lower()
        if shown in column:
            raise SweepError(f"sweep: {name} = {shown} is given twice")
        column[shown] = value
    return column


def _mode(name: str, value: int) -> int | str:
    """The name of a mode's number, where the field is a mode and has it; other numbers are shown as they are."""
    modes = MODES.get(name)
    return modes(value).name.lower() if modes is not None and value in list(modes) else value


def sweepable() -> list[str]:
    """The fields that can be swept."""
    return [name for name in FIELDS if name not in ARITHMETIC]


def _number(given: Any) -> Any:
    """A whole number from its text; anything else stays what it is, and the architecture says what is wrong with it."""
    try:
        return int(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _shapes(given: Any) -> tuple[str, Any]:
    """`none`, `32x128+16x256`, or a list of shapes."""
    if isinstance(given, str):
        given = [] if given == NO_SHAPES else given.split("+")
    if isinstance(given, Sequence):
        return "+".join(map(str, given)) or NO_SHAPES, list(given)
    return str(given), given
