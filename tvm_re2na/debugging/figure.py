"""`debug` as a figure (extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tvm_re2na.debugging.measures import SideFigures
from tvm_re2na.debugging.report import Debugging, OperatorFigures
from tvm_re2na.plot import new_figure, write_figure

LONGEST = 36  # characters of an operator's name


def debug_figure(found: Debugging, path: str | os.PathLike[str]) -> None:
    """Signal over noise of every operator, accumulated and alone, and what it alone leaves of the outputs; beside it how far its
    integers are off, and at the names what is wrong."""
    rows = found.operators
    figure = new_figure(11, 2 + 0.24 * len(rows))
    noise, errors = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    places = range(len(rows))
    sides: dict[str, Sequence[float | None]] = {
        "all before it quantised": [_db(row.re2na or row.tvm or row.onnx_runtime) for row in rows],
        "it alone quantised": [_db(row.alone) for row in rows],
        "the outputs, it alone quantised": [row.output_db for row in rows],
    }
    for (label, values), mark in zip(sides.items(), "os^", strict=True):
        known = [(value, place) for value, place in zip(values, places, strict=True) if value is not None]
        noise.plot([value for value, _ in known], [place for _, place in known], mark, label=label, markersize=5)
    parting = [place for place, row in zip(places, rows, strict=True) if row.parts]
    if parting:
        for place in parting:
            noise.axhspan(place - 0.5, place + 0.5, color="tab:red", alpha=0.2, zorder=0)
        noise.plot([], [], "s", color="tab:red", alpha=0.3, label="two sides part in bits")
    noise.set_yticks(list(places), [_name(row) for row in rows], fontsize=7)
    noise.set_ylim(len(rows) - 0.5, -0.5)
    noise.set_xlabel("signal over noise in dB")
    noise.grid(alpha=0.3)
    shares = [_shares(row.errors) for row in rows]
    span = rows[0].errors if rows else ()
    half = len(span) // 2
    errors.imshow(
        shares, aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=(-half - 0.5, half + 0.5, len(rows) - 0.5, -0.5)
    )
    errors.set_xlabel(f"steps off (beyond {half}: at the ends)")
    errors.set_title("share of the elements, root scale", fontsize=8)
    figure.legend(loc="outside upper left", fontsize=8, ncols=4)
    figure.suptitle(f"against {found.reference}, {found.images} images", fontsize=9, x=0.99, ha="right")
    write_figure(figure, path)


def _db(side: SideFigures | None) -> float | None:
    return None if side is None else side.snr_db


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [(count / total) ** 0.5 for count in counts]


def _name(row: OperatorFigures) -> str:
    return row.name if len(row.name) <= LONGEST else f"...{row.name[-LONGEST:]}"
