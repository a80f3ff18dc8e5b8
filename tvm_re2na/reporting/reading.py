"""Documents read back from JSON files: every key and type is checked against the dataclass that declares it."""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.files import naming
from tvm_re2na.reporting.document import VERSION, ReportError, RunReport, WidthRow

SHOWN = 60  # characters of a value in a message


def read_report(path: str | os.PathLike[str]) -> RunReport:
    """What `re2na report --json` printed. Raises ReportError for anything else, or OSError."""
    value = _json(path)
    version = value.get("report_version") if isinstance(value, dict) else None
    if version != VERSION:
        raise ReportError(
            f"{path}: report_version {_shown(version)}, expected {VERSION}, as `re2na report --json` prints"
        )
    report: RunReport = _checked(RunReport, value, f"{path}: report")
    places = range(len(report.layers))
    for index, place in _places(report):
        if place not in places:
            raise ReportError(f"{path}: {index} is of layer {place}, there are {len(places)}")
    return report


def read_survey(path: str | os.PathLike[str]) -> tuple[WidthRow, ...]:
    """The rows that `re2na survey bits --json` printed. Raises ReportError for anything else, or OSError."""
    value = _json(path)
    rows = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ReportError(f"{path}: has no rows, expected those of `re2na survey bits --json`")
    names = [field.name for field in dataclasses.fields(WidthRow)]
    known = [{name: row[name] for name in names if name in row} if isinstance(row, dict) else row for row in rows]
    return tuple(_checked(WidthRow, row, f"{path}: rows[{index}]") for index, row in enumerate(known))


def _json(path: str | os.PathLike[str]) -> Any:
    with naming(path):
        content = Path(path).read_bytes()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path}: is no JSON ({error})") from error


def _places(report: RunReport) -> list[tuple[str, int]]:
    """Everything that names a layer by its place."""
    found = [(f"layers[{index}].reads", place) for index, layer in enumerate(report.layers) for place in layer.reads]
    for number, region in enumerate(report.regions):
        where = f"regions[{number}]"
        found += [(f"{where}.work", work.layer) for work in region.work]
        found += [(f"{where}.blocks", block.layer) for block in region.blocks]
        found += [
            (f"{where}.tokens", place) for token in region.tokens for place in (token.giver_layer, token.taker_layer)
        ]
    return found


def _checked(kind: Any, value: Any, where: str) -> Any:
    """`value` as a `kind`: a dataclass, a tuple or dict of something, a number, text, or one of several."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return _one_of(arguments, value, where)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) == len(value):
            return tuple(
                _checked(each, item, f"{where}[{index}]")
                for index, (each, item) in enumerate(zip(kinds, value, strict=True))
            )
    if origin is dict and isinstance(value, dict):
        return {name: _checked(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if kind is Any or (kind is float and type(value) is int) or (origin is None and type(value) is kind):
        return value
    raise ReportError(f"{where} is {_shown(value)}, expected {getattr(kind, '__name__', kind)}")


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not types.NoneType)
    for kind in others:
        if type(value) is kind:
            return value
    return _checked(last, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ReportError(f"{where} is {_shown(value)}, expected an object")
    hints = typing.get_type_hints(kind)
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    for name in sorted((needed - value.keys()) | (value.keys() - hints.keys())):
        raise ReportError(f"{where}: {'no' if name in needed else 'unknown'} key '{name[:SHOWN]}'")
    return kind(**{name: _checked(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
