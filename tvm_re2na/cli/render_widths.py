"""What a search for widths found, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from tvm_re2na.comparison_rows import percent

if TYPE_CHECKING:
    from tvm_re2na.mixed import WidthSearch, WidthTrial


NAMED = 4  # layers: --json has them all


def widths_table(found: WidthSearch) -> Table:
    """The front, the cheapest first; a star marks what was written."""
    title = f"Layers given up for accuracy (* written; target: {found.target})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in ("MACs in float", "share", "weight bits", "scores dB", "top-1", "points lost"):
        table.add_column(name, justify="right")
    for name in ("in float", "at full width"):
        table.add_column(name, overflow="fold")
    for trial in found.front:
        table.add_row("*" if trial == found.chosen else "", *_figures(trial, found.macs), *_layers(trial))
    return table


def widths_lines(found: WidthSearch) -> Iterable[str]:
    """Of which images this is, and how much was tried."""
    yield (
        f"{len(found.trials)} networks were quantised with {found.seen_images} images, and measured on the"
        f" {found.held_back_images} that were held back; top-1 in float: {percent(found.top1_float)}"
    )


def _figures(trial: WidthTrial, macs: int) -> Iterable[str]:
    yield f"{trial.float_macs:,}"
    yield percent(trial.float_macs / macs if macs else 0.0)
    yield f"{trial.weight_bits:,}"
    yield "no noise" if trial.snr_db is None else f"{trial.snr_db:.1f}"
    yield percent(trial.top1)
    yield "-" if trial.lost_points is None else f"{trial.lost_points:.2f}"


def _layers(trial: WidthTrial) -> Iterable[str]:
    yield from (_named(names) for names in (trial.keep_float, trial.full_width))


def _named(names: Sequence[str]) -> str:
    others = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {others:,} more" if others > 0 else "") if names else "-"
