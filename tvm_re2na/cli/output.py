"""Where the command's words go: results to stdout, progress to stderr, and nothing else to stdout, whoever prints it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_re2na.progress import progress_bar as progress_bar

if TYPE_CHECKING:
    from rich.console import RenderableType

BLANKS = re.compile(" +$", re.MULTILINE)  # with which titles are filled up to the table's width
PIPE_WIDTH = 120  # of tables in a file or a pipe, at least


@dataclass(frozen=True)
class Result:
    """What a command found: `data` for --json, `text` for people (rich renderables or plain strings), and its exit code."""

    data: Any
    text: tuple[RenderableType, ...]
    code: int = 0


def show(result: Result, how: str = "table") -> None:
    """Print a result to stdout: as json, table, plain or csv. Where its encoding lacks a character, an escape stands for it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if how == "json":
        print(json.dumps(result.data, indent=2), flush=True)
    elif how == "table":
        _show_tables(result)
    else:
        _show_text(result, how)


def _show_text(result: Result, how: str) -> None:
    """Tables one after the other, an empty line between them. What else is said is no part of a CSV file."""
    from rich.table import Table

    from tvm_re2na.cli.formats import TEXTS

    tables = [TEXTS[how](item) for item in result.text if isinstance(item, Table)]
    others = [
        f"{item}\n" if not str(item).endswith("\n") else str(item) for item in result.text if isinstance(item, str)
    ]
    print("\n".join(tables), end="")
    apart = sys.stderr if how == "csv" and tables else sys.stdout
    print("".join(others), end="", file=apart)
    sys.stdout.flush()


def _show_tables(result: Result) -> None:
    for item in result.text:
        if isinstance(item, str):
            print(item, end="" if item.endswith("\n") else "\n")  # as it is: no wrapping, no markup
        else:
            # printed by us: where the reader of a pipe has gone, rich would end the process with its own exit code
            print(_printed(item), end="")
    sys.stdout.flush()


def _printed(item: RenderableType) -> str:
    """As wide as the terminal, or wider where a name or a number would be cut; elsewhere a row is a line, whatever its width."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    from tvm_re2na.cli.fitting import ANY_WIDTH, fitted

    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False, markup=False, width=None if is_terminal else PIPE_WIDTH)
    if is_terminal and isinstance(item, Table):
        item = fitted(item, console, console.width)
    needed = Measurement.get(console, console.options.update(width=ANY_WIDTH), item).maximum
    if not is_terminal or isinstance(item, Table):
        console.width = max(console.width, needed)
    with console.capture() as printed:
        console.print(item)
    return printed.get() if is_terminal else BLANKS.sub("", printed.get())


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Within it, everything printed goes to stderr, by Python or by native code: stdout stays clean for the result."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


@contextlib.contextmanager
def warnings_last() -> Iterator[None]:
    """Warnings are lines on stderr, once the command has come to its end: a failure is told in one line. What libraries log is not
    told: Pillow logs what is wrong with a picture, and raises it as well."""
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        with warnings.catch_warnings(record=True) as told:
            yield
    finally:
        logging.getLogger().removeHandler(silence)
    for text in dict.fromkeys(str(item.message) for item in told if issubclass(item.category, UserWarning)):
        print(f"re2na: warning: {' '.join(text.split())}", file=sys.stderr)
