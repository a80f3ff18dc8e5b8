"""`debug` as a figure (extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tvm_re2na.debugging.measures import SideFigures
from tvm_re2na.debugging.report import Debugging, OperatorFigures
from tvm_re2na.plot import new_figure, style, write_figure

SERIES = ("result, all operators quantised", "result, this operator alone", "outputs, this operator alone")
PARTING = style.RED


def debug_figure(found: Debugging, path: str | os.PathLike[str]) -> None:
    """Signal over noise of every operator, accumulated and alone, and what it alone leaves of the outputs; beside it how far its
    integers are off. Operators at which two sides part are marked."""
    rows = found.operators
    title = f"every operator against {found.reference} ({found.images} images)"
    figure = new_figure(11, style.rows_height(len(rows)), title)
    noise, errors = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _noise(noise, rows)
    _errors(errors, rows)
    style.legend_below(figure, noise)
    write_figure(figure, path)


def _noise(axes: Any, rows: Sequence[OperatorFigures]) -> None:
    last = [row.re2na or row.tvm or row.onnx_runtime for row in rows]
    series = ([_db(side) for side in last], [_db(row.alone) for row in rows], [row.output_db for row in rows])
    for label, values, (colour, mark), size in zip(SERIES, series, style.SIDES, style.SIZES, strict=False):
        known = [(value, place) for place, value in enumerate(values) if value is not None]
        places = [value for value, _ in known], [place for _, place in known]
        axes.plot(*places, mark, label=label, color=colour, markersize=size)
    for number, row in enumerate(row for row in rows if row.parts):
        label = "_" if number else "two sides part in bits"  # once in the legend
        axes.axhspan(row.number - 0.5, row.number + 0.5, color=PARTING, alpha=0.25, zorder=0, label=label)
    style.named_rows(axes, [_name(row) for row in rows])
    style.describe(axes, "signal over noise: more is better", "dB")
    style.numbers(axes.xaxis)


def _errors(axes: Any, rows: Sequence[OperatorFigures]) -> None:
    half = len(rows[0].errors) // 2
    shares = [_shares(row.errors) for row in rows]
    span = (-half - 0.5, half + 0.5, len(rows) - 0.5, -0.5)
    image = axes.imshow(shares, aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=span, interpolation="nearest")
    axes.set_xticks(
        [-half, -half // 2, 0, half // 2, half], [f"-{half} or less", -half // 2, 0, half // 2, f"{half} or more"]
    )
    style.describe(axes, "how far its integers are off", "steps", grid="x")
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(visible=False)  # it would lie on the picture
    bar = axes.figure.colorbar(image, ax=axes, label="elements")
    ticks = (0, 0.01, 0.1, 0.5, 1)
    bar.set_ticks([tick**0.5 for tick in ticks], labels=[f"{tick:.0%}" for tick in ticks])


def _db(side: SideFigures | None) -> float | None:
    return None if side is None else side.snr_db


def _shares(counts: Sequence[int]) -> list[float]:
    """Square roots, so that what is rare shows."""
    total = sum(counts) or 1
    return [(count / total) ** 0.5 for count in counts]


def _name(row: OperatorFigures) -> str:
    """The first node in full, the others by the ends of their names."""
    first, *others = row.nodes or (row.tensor,)
    return " + ".join([first, *(other.rsplit("/", 1)[-1] for other in others)])
