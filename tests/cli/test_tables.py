"""Tables in pipes and in narrow terminals."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path

import pytest
from rich.table import Table

from tests.cli.conftest import Command
from tvm_re2na.cli.formats import comma_separated
from tvm_re2na.cli.output import Result, show
from tvm_re2na.cli.render import facts_table

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
    show(Result(None, (table(),)))
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
    assert lines == [line.rstrip() for line in lines], "the title is not filled up to the table's width"
    assert [line.count(NUMBER) for line in lines if "Conv" in line or "no terminal holds it" in line] == [7, 7]


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("\x1b" in line for line in shown(monkeypatch, Terminal(), 80))


def test_formats(re2na: Command, small: Path, tmp_path: Path) -> None:
    """All say the same; numbers of CSV are plain."""
    words = ("compile", small, "--output", tmp_path / "net.re2na", "--report")
    data = re2na(*words, "--format", "json").json
    assert data["layers"] == re2na(*words, "--json").json["layers"]
    total = data["total"]
    plain = re2na(*words, "--format", "plain")
    assert (plain.code, plain.stderr) == (0, "")
    (layers, *_) = [line for line in plain.stdout.splitlines() if line.startswith("total")]
    assert layers.split()[1:4] == [f"{total[name]:,}" for name in ("macs", "cycles", "cycles_bound")]
    assert not set(plain.stdout) & set("│┃━─")
    printed = re2na(*words, "--format", "csv").stdout
    first = list(csv.reader(printed.split("\n\n")[0].splitlines()))
    assert first[0][:4] == ["layer", "op", "MACs", "cycles"]
    assert first[-1][2:4] == [str(total["macs"]), str(total["cycles"])]
    assert len({len(row) for row in first}) == 1
    facts = dict(csv.reader(printed.split("\n\n")[-1].splitlines()))
    assert facts["SRAM peak"] == f"{total['sram_peak_bytes']} bytes"
    assert re2na(*words, "--format", "csv", "--json").code == 2


def test_what_is_no_table(re2na: Command, program: Path, small: Path, tmp_path: Path) -> None:
    assert re2na("disasm", program, "--format", "csv").stdout == re2na("disasm", program).stdout
    found = re2na(
        "explore", small, "--sweep", "mac_interval=1", "--jobs", 1, "--csv", tmp_path / "x.csv", "--format", "csv"
    )
    assert found.code == 0
    assert found.stderr == f"wrote {tmp_path / 'x.csv'}\n"
    assert found.stdout.startswith(",mac_interval,cycles")


def test_commas_of_thousands() -> None:
    """Of numbers, with a unit and in sentences; other commas stay."""
    table = facts_table(
        "x", {"a": "3,084 bytes", "b": "1,234,567 (1,000 per run), 2,000, the same", "c": "x1,000 1,00 1,2,300"}
    )
    rows = list(csv.reader(comma_separated(table).splitlines()))
    assert rows == [["a", "3084 bytes"], ["b", "1234567 (1000 per run), 2000, the same"], ["c", "x1,000 1,00 1,2,300"]]
