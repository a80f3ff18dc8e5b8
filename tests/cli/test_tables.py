"""Tables in pipes and in narrow terminals."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.table import Table

from tvm_re2na.cli.output import Result, show

STYLE = re.compile(r"\x1b\[[13]?m|\x1b\[0m")  # bold and italic; no colour
NUMBER = "138,549,320"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table() -> Table:
    made = Table(title="Layers")
    made.add_column("layer")
    for index in range(7):
        made.add_column(f"column {index}", justify="right")
    for name in (
        "/features/features.0/features.0.0/Conv",
        "a reason that has so many words that no terminal holds it " * 3,
    ):
        made.add_row(name, *[NUMBER] * 7)
    return made


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, columns: int) -> list[str]:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    show(Result(None, (table(),)), as_json=False)
    return STYLE.sub("", stream.getvalue()).splitlines()


@pytest.mark.parametrize("columns", [40, 80, 120, 400])
def test_numbers_are_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    for stream in (io.StringIO(), Terminal()):
        lines = shown(monkeypatch, stream, columns)
        assert sum(line.count(NUMBER) for line in lines) == 14
        assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)
    assert max(map(len, lines)) <= max(columns, 140), "text is folded in a terminal"


def test_a_row_is_a_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, io.StringIO(), 80)
    assert [line.count(NUMBER) for line in lines if "Conv" in line or "no terminal holds it" in line] == [7, 7]


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("\x1b" in line for line in shown(monkeypatch, Terminal(), 80))
