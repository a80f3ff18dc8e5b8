"""How long work tells how far it is."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]  # (stage, done, total)
LOGGER = logging.getLogger(__name__)


def silent(stage: str, done: int, total: int) -> None:
    """The default progress: none."""
    del stage, done, total


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr if that is a terminal, silence otherwise; yields `progress(stage, done, total)`.

    Where somebody listens to the log, each stage is a line of it instead, once it is done.
    """
    if LOGGER.isEnabledFor(logging.INFO):
        yield _logged()
        return
    if not sys.stderr.isatty():
        yield silent
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.SpinnerColumn(),  # moves, with the clock, however long one step takes
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield progress


def _logged() -> Progress:
    begun: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        started = begun.setdefault(stage, time.perf_counter())
        if done >= total:
            LOGGER.info("%s: %d of %d, %.2f s", stage, done, total, time.perf_counter() - started)
            del begun[stage]

    return progress


@contextlib.contextmanager
def shown(progress: Progress | None) -> Iterator[Progress]:
    """The caller's progress, or a bar."""
    if progress is not None:
        yield progress
        return
    with progress_bar() as bar:
        yield bar
