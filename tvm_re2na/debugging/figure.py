"""`debug` as a figure (extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tvm_re2na.debugging.measures import SideFigures
from tvm_re2na.debugging.report import Debugging, OperatorFigures
from tvm_re2na.plot import new_figure, style, write_figure

PARTING = style.RED
LEAST = 3.6  # inches, for the ticks of the shares


def debug_figure(found: Debugging, path: str | os.PathLike[str], name: str = "") -> None:
    """Signal over noise of every operator, accumulated and alone, and what it alone leaves of the outputs; beside it how far its
    integers are off. Operators at which two sides part are marked; of which nothing is known, left out and counted."""
    rows = [row for row in found.operators if _is_known(row)]
    title = f"every operator against {found.reference} ({found.images} images)"
    if missing := len(found.operators) - len(rows):
        title += f"\n({missing} that have no tensor of their own in it are left out)"
    figure = new_figure(11, max(LEAST, style.rows_height(len(rows))), title, name)
    noise, errors = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _noise(noise, rows)
    _errors(errors, rows)
    style.legend_below(figure, noise)
    write_figure(figure, path)


def _noise(axes: Any, rows: Sequence[OperatorFigures]) -> None:
    last = [row.re2na or row.tvm or row.onnx_runtime for row in rows]
    style.quantity(axes, "result_all", [_db(side) for side in last])
    style.quantity(axes, "result_alone", [_db(row.alone) for row in rows])
    style.quantity(axes, "output_alone", [row.output_db for row in rows])
    for number, place in enumerate(place for place, row in enumerate(rows) if row.parts):
        label = "_" if number else "two sides part in bits"  # once in the legend
        axes.axhspan(place - 0.5, place + 0.5, color=PARTING, alpha=0.25, zorder=0, label=label)
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
    bar = axes.figure.colorbar(image, ax=axes, label="share of elements\n(greys follow its square root)")
    ticks = (0, 0.01, 0.1, 0.5, 1)
    bar.set_ticks([tick**0.5 for tick in ticks], labels=[f"{tick:.0%}" for tick in ticks])


def _is_known(row: OperatorFigures) -> bool:
    """A part of an operator that was taken apart has nothing that it can be held against."""
    sides = (row.re2na or row.tvm or row.onnx_runtime, row.alone)
    return row.parts or any(row.errors) or row.output_db is not None or any(_db(side) is not None for side in sides)


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
