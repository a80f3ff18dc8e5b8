"""Documents read back from JSON files: every key and type is checked against the dataclass that declares it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.files import naming
from tvm_re2na.codegen.isa import ENGINES
from tvm_re2na.reporting.differences import FIGURES
from tvm_re2na.reporting.document import (
    VERSION,
    Costs,
    EngineWork,
    RegionRun,
    ReportError,
    RunReport,
    SramBlock,
    Token,
    WidthRow,
)

SHOWN = 60  # characters of a value in a message
DIGITS = 25  # of a whole number, at most
COUNTS = (Costs, EngineWork, Token, SramBlock, RegionRun)  # whose numbers are bytes, cycles and places
DRAWN = ("array_rows", "array_columns", "mac_interval", "dram_bytes_per_cycle", "sram_bytes")  # of the machine


def read_report(path: str | os.PathLike[str]) -> RunReport:
    """What `re2na report --json` printed. Raises ReportError for anything else, or OSError."""
    value = _json(path)
    version = value.get("report_version") if isinstance(value, dict) else None
    if version != VERSION:
        raise ReportError(
            f"{path}: report_version {_shown(version)}, expected {VERSION}, as `re2na report --json` prints"
        )
    report: RunReport = _checked(RunReport, value, f"{path}: report")
    _check_names(report, path)
    _check_figures(report, path)
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
        return json.loads(content, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path}: is no JSON ({error})") from error


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"{text[:DIGITS]}... is no number of ours")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:DIGITS]} is no number of ours")
    return float(text)


def _check_names(report: RunReport, path: str | os.PathLike[str]) -> None:
    """What names a layer, an engine or a field of the machine, names one that there is."""
    places = range(len(report.layers))
    for index, place in _places(report):
        if place not in places:
            raise ReportError(f"{path}: {index} is of layer {place}, there are {len(places)}")
    work = (each.engine for region in report.regions for each in region.work)
    tokens = (engine for region in report.regions for token in region.tokens for engine in (token.giver, token.taker))
    for engine in {*work, *tokens} - {engine.name for engine in ENGINES}:
        raise ReportError(f"{path}: there is no engine {_shown(engine)}")
    known = {field.name: field.value for field in report.machine}
    for name in DRAWN:
        if known.get(name, 0) < 1:
            raise ReportError(f"{path}: machine: {name} = {_shown(known.get(name))}, expected 1 at least")


def _check_figures(report: RunReport, path: str | os.PathLike[str]) -> None:
    """What is in a summary can be shown."""
    for figure in FIGURES:
        try:
            value = figure.of(report)
        except (AttributeError, KeyError, TypeError) as error:
            raise ReportError(f"{path}: '{figure.name}' does not follow from the report ({error})") from error
        fits = isinstance(value, bool) is figure.is_truth and isinstance(value, int | float)
        if value is not None and not fits:
            raise ReportError(
                f"{path}: '{figure.name}' is {_shown(value)}, expected a {'truth' if figure.is_truth else 'number'}"
            )


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
    found = {name: _checked(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    for name, item in found.items() if kind in COUNTS else ():
        if isinstance(item, int | float) and item < 0:
            raise ReportError(f"{where}.{name} is {item}, expected 0 at least")
    return kind(**found)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
