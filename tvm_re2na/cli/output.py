"""Where the command's words go: results to stdout, progress to stderr, and nothing else to stdout, whoever prints it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_re2na.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPE_WIDTH = 120  # of tables in a file or a pipe


@dataclass(frozen=True)
class Result:
    """What a command found: `data` for --json, `text` for people (rich renderables or plain strings), and its exit code."""

    data: Any
    text: tuple[RenderableType, ...]
    code: int = 0


def show(result: Result, as_json: bool) -> None:
    """Print a result to stdout."""
    if as_json:
        print(json.dumps(result.data, indent=2), flush=True)
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(file=sys.stdout, highlight=False, width=width)
    for item in result.text:
        if isinstance(item, str):
            print(item, end="" if item.endswith("\n") else "\n")  # as it is: no wrapping, no markup
        else:
            # printed by us: where the reader of a pipe has gone, rich would end the process with its own exit code
            with console.capture() as printed:
                console.print(item)
            print(printed.get(), end="")
    sys.stdout.flush()


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


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr if that is a terminal, silence otherwise; yields `progress(stage, done, total)`."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield progress
