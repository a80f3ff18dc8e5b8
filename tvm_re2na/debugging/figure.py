"""`debug` as a figure (extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tvm_re2na.debugging.measures import SideFigures
from tvm_re2na.debugging.report import Debugging, OperatorFigures
from tvm_re2na.plot import new_figure, write_figure

LONGEST = 48  # characters of an operator's name
# told apart by whoever sees no red or green (Okabe and Ito), and by their forms
MARKS = {
    "result, all operators quantised": ("o", "#0072B2", "none"),
    "result, this operator alone": ("s", "#E69F00", "#E69F00"),
    "outputs, this operator alone": ("^", "#009E73", "#009E73"),
}
PARTING = "#D55E00"


def debug_figure(found: Debugging, path: str | os.PathLike[str]) -> None:
    """Signal over noise of every operator, accumulated and alone, and what it alone leaves of the outputs; beside it how far its
    integers are off. Operators at which two sides part are marked."""
    rows = found.operators
    figure = new_figure(11, 1.8 + 0.22 * len(rows))
    noise, errors = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _noise(noise, rows)
    _errors(errors, rows)
    figure.suptitle(f"every operator against {found.reference} ({found.images} images)", fontsize=10)
    figure.legend(*noise.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    write_figure(figure, path)


def _noise(axes: Any, rows: Sequence[OperatorFigures]) -> None:
    last = [row.re2na or row.tvm or row.onnx_runtime for row in rows]
    series = ([_db(side) for side in last], [_db(row.alone) for row in rows], [row.output_db for row in rows])
    for (label, (form, color, face)), values in zip(MARKS.items(), series, strict=True):
        known = [(value, place) for place, value in enumerate(values) if value is not None]
        places = [value for value, _ in known], [place for _, place in known]
        axes.plot(*places, form, label=label, color=color, markerfacecolor=face, markersize=6 if face == "none" else 4)
    for number, row in enumerate(row for row in rows if row.parts):
        label = "_" if number else "two sides part in bits"  # once in the legend
        axes.axhspan(row.number - 0.5, row.number + 0.5, color=PARTING, alpha=0.25, zorder=0, label=label)
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("signal over noise, dB")
    axes.grid(alpha=0.3)


def _errors(axes: Any, rows: Sequence[OperatorFigures]) -> None:
    half = len(rows[0].errors) // 2
    shares = [_shares(row.errors) for row in rows]
    span = (-half - 0.5, half + 0.5, len(rows) - 0.5, -0.5)
    image = axes.imshow(shares, aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=span, interpolation="nearest")
    axes.set_xticks(
        [-half, -half // 2, 0, half // 2, half], [f"-{half} or less", -half // 2, 0, half // 2, f"{half} or more"]
    )
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("steps off")
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
    name = " + ".join([first, *(other.rsplit("/", 1)[-1] for other in others)])
    return name if len(name) <= LONGEST else f"...{name[-LONGEST:]}"
