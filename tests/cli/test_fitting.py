"""What a terminal shows of a table that does not fit: names, words and numbers whole, and what was left out is said."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.cli.test_tables import Terminal
from tvm_re2na.cli import render
from tvm_re2na.cli.fitting import SPARED
from tvm_re2na.cli.output import Result, show

STYLE = re.compile(r"\x1b\[[0-9;]*m")  # bold, dim and italic
LONG = "/backbone/stages/stages.3/blocks/blocks.11/conv_pw_expand/Conv_1"
LAYER = {"name": LONG, "op": "conv2d", "macs": 138549320, "cycles": 2559499, "cycles_bound": 699911, "utilisation": 0.5}
LAYER |= {"dram_bytes": 11880776, "dram_bytes_compulsory": 61283400, "loss": "waiting for loads: the DRAM's latency"}
LAYER |= {"loss_cycles": 75, "causes": dict.fromkeys(render.CAUSES, 1234567)}
OPERATOR = {"name": LONG, "op": "nn.conv2d_transpose", "offloaded": False, "value": "nn.conv2d_transpose"}
OPERATOR |= {"reason": "Re²Na has no such operator.", "rule": "known_operator", "limit": "conv2d, dense, max_pool2d"}
OPERATOR |= {"region": None, "crossing_bytes": 0}
TABLES = {
    "layers": lambda: render.layer_table({"layers": [LAYER], "total": LAYER}),
    "causes": lambda: render.causes_table({"layers": [LAYER], "total": LAYER}),
    "operators": lambda: render.explanation_table([OPERATOR, OPERATOR | {"offloaded": True, "region": 1}]),
    "doctor": lambda: render.doctor_table(
        [{"what": LONG, "state": "missing", "detail": "a [b]", "mend": "pip install"}]
    ),
}


def in_terminal(monkeypatch: pytest.MonkeyPatch, table: Table, columns: int) -> str:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    for name, value in (("COLUMNS", str(columns)), ("NO_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    show(Result(None, (table,)))
    return STYLE.sub("", stream.getvalue())


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("name", TABLES)
def test_names_are_whole_and_lines_fit(monkeypatch: pytest.MonkeyPatch, name: str, columns: int) -> None:
    printed = in_terminal(monkeypatch, TABLES[name](), columns)
    assert LONG in printed and "\N{HORIZONTAL ELLIPSIS}" not in printed
    assert max(map(len, printed.splitlines())) <= max(columns, len(LONG) + 25)


def test_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = in_terminal(monkeypatch, TABLES["layers"](), 200)
    assert "left out" not in wide and "138,549,320" in wide
    narrow = in_terminal(monkeypatch, TABLES["layers"](), 100)
    told = re.search(r"left out: ([^;]*);", narrow)
    assert told is not None
    gone = told[1].split(", ")
    assert gone == [header for header in SPARED if header in gone], "what is missed least goes first"
    assert "2,559,499" in narrow and not any(f" {header} " in narrow.splitlines()[2] for header in gone)


def test_reasons_stand_beneath_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = " ".join(re.sub(r"[│\s]+", " ", in_terminal(monkeypatch, TABLES["operators"](), 80)).split())
    assert f"{LONG} CPU why it is on the CPU: Re²Na has no such operator. (known_operator: value" in printed
    assert printed.count(LONG) == 2 and printed.count("why it is") == 1


def test_every_spared_column_is_one_of_ours() -> None:
    """One that is renamed would never go."""
    sources = "".join(path.read_text() for path in Path(render.__file__).parent.glob("render*.py"))
    causes = render.CAUSES.values()
    assert not [header for header in SPARED if f'"{header}"' not in sources and header not in causes]


def test_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("layer")
    table.add_row("/net[bold]/conv[/red]")
    for stream in (io.StringIO(), Terminal()):
        for how in ("table", "plain", "csv"):
            monkeypatch.setattr(sys, "stdout", stream)
            show(Result(None, (table,)), how)
        assert stream.getvalue().count("/net[bold]/conv[/red]") == 3


def test_an_encoding_without_our_name(small: Path) -> None:
    """In a pipe, in a process of its own: the encoding is that of its environment."""
    words = [sys.executable, "-m", "tvm_re2na.cli", "explain", str(small)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    found = subprocess.run(words, env=ascii_only, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert r"Re\xb2Na" in found.stdout


def test_a_dumb_terminal_gets_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "dumb")
    assert Console(file=stream).is_dumb_terminal
    show(Result(None, (TABLES["layers"](),)))
    assert "\x1b" not in stream.getvalue() and LONG in stream.getvalue()


def test_a_layer_without_cycles_of_its_own_has_no_bound_either() -> None:
    """It is computed with another one; that it takes 0 cycles, fewer than a bound of 32, would be no news but a riddle."""
    within = LAYER | {"name": "add", "cycles": 0, "cycles_bound": 32, "utilisation": 0.0, "loss": None}
    within |= {"causes": dict.fromkeys(render.CAUSES, 0)}
    report = {"layers": [LAYER, within], "total": LAYER}
    for made in (render.layer_table(report), render.causes_table(report)):
        rows = {
            name: [list(column.cells)[index] for column in made.columns] for index, name in enumerate((LONG, "add"))
        }
        headers = [column.header for column in made.columns]
        empty = {"cycles", "bound", "use", *render.CAUSES.values()}.intersection(headers)
        assert {name for name, cell in zip(headers, rows["add"], strict=True) if cell == ""} >= empty
        assert "" not in rows[LONG]
