"""THE style of figures: what colours mean, how axes, ticks and legends look, how a figure is written.

A colour means the same in every figure. All are Okabe and Ito's ("Color Universal Design", 2008), which the colour-blind tell
apart; series that share an axis differ in their marks as well.
"""

from __future__ import annotations

import importlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.frontends import MissingPackageError
from tvm_re2na.runtime.timeline import CAUSE_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
DPI = 150

BLUE, SKY, GREEN, YELLOW, ORANGE, RED, PINK = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)
BLACK, GREY, PALE = "#000000", "#666666", "#DDDDDD"
# the causes of cycles: their colours, and their names in words
COLOURS = {"mac": BLUE, "overhead": ORANGE, "reconfigure": PINK, "alu": GREEN, "wait_load": RED, "wait_store": YELLOW}
CAUSES = {cause: (COLOURS[cause], words) for cause, (_, words) in CAUSE_NAMES.items()}
# what is compared: the machine as it is, the float network, other sides and ways in the order in which they come
MACHINE, FLOAT = BLUE, GREY
SIZES = (8.0, 6.5, 5.0, 4.0, 3.0, 2.5)  # of their marks, in points: those that lie on each other are all seen
SIDES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (SKY, "v"), (RED, "P"))
BELOW: dict[str, Any] = {"loc": "outside lower left", "fontsize": 8, "frameon": False}  # a figure's legend
# signal over noise, by what is quantised and what is looked at: words, colour, mark and size
QUANTITIES = {
    "result_all": ("result, all operators quantised", BLUE, "o", SIZES[0]),
    "result_alone": ("result, only this operator quantised", ORANGE, "s", SIZES[1]),
    "output_alone": ("output, only this operator quantised", GREEN, "^", SIZES[2]),
    "output_without": ("output, all but this operator quantised", PINK, "D", SIZES[3]),
}


class PlotError(Re2naError, ValueError):
    """A figure cannot be drawn; the message names the file and what is wrong."""


def check_format(path: str | os.PathLike[str]) -> str:
    """`png` or `svg`, from the file's name. Raises PlotError, or MissingPackageError where matplotlib is not installed."""
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise PlotError(f"{path}: a figure's name ends in .{' or .'.join(FORMATS)}, not in '{Path(path).suffix}'")
    new_figure(1, 1)
    return kind


def new_figure(width: float, height: float, title: str = "", name: str = "") -> Figure:
    """A figure of that many inches, with its title and the name of the network that it is about.

    Raises MissingPackageError where matplotlib is not installed.
    """
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingPackageError("matplotlib is not installed: pip install 'tvm_re2na[plot]'") from error
    figure: Figure = module.Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(f"{name}: {title}" if name else title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """As the name says, PNG or SVG, whole or not at all; the same figure is the same bytes."""
    kind = check_format(path)
    buffer = io.BytesIO()
    with _as_text():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    write_atomically(path, buffer.getvalue())


def _as_text() -> Any:
    """Of an SVG: words can be searched, and parts are not named at random."""
    return importlib.import_module("matplotlib").rc_context({"svg.hashsalt": "tvm_re2na", "svg.fonttype": "none"})


def describe(axes: Axes, title: str = "", x: str = "", y: str = "", grid: str = "both") -> None:
    """What is shown, and its units. `grid`: across which axes lines help the eye, both, x or y."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=PALE, linewidth=0.6)  # type: ignore[arg-type]


def numbers(axis: Axis, unit: str = "") -> None:
    """Ticks at whole numbers, with commas between thousands."""
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter("{x:,.0f}" + unit)


def percentages(axis: Axis) -> None:
    """Shares as per cent, with as many digits as a tick needs, and none above all of it."""
    axis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g}%" if share < 1 + 1e-9 else "")


def binary_bytes(count: int) -> str:
    """In MiB or KiB, as memories are built."""
    for size, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"


def every(axis: Axis, values: Sequence[int]) -> None:
    """A tick at each of these whole numbers and nowhere else."""
    axis.set_ticks(sorted(set(values)), [f"{value:,}" for value in sorted(set(values))])


def named_rows(axes: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top. Rows are 0.22 inches high (`rows_height`), so that no two names touch."""
    axes.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)


def rows_height(count: int) -> float:
    """Inches of a figure with that many rows, besides its title, its axis and a legend under it."""
    return 1.7 + 0.22 * max(count, 2)


def series(axes: Axes, x: Sequence[int], sides: Mapping[str, Sequence[float | None]]) -> None:
    """Lines, each with its colour and its mark, the first one's the largest; what was not measured is left out."""
    for (label, values), (colour, mark), size in zip(sides.items(), SIDES, SIZES, strict=False):
        kept = [(at, value) for at, value in zip(x, values, strict=True) if value is not None and math.isfinite(value)]
        axes.plot(
            [at for at, _ in kept],
            [value for _, value in kept],
            mark,
            linestyle="-",
            color=colour,
            markersize=size,
            label=label,
        )
    axes.margins(y=0.1)


def quantity(axes: Axes, name: str, values: Sequence[float | None]) -> None:
    """One of QUANTITIES, a mark in each row whose value is known."""
    words, colour, mark, size = QUANTITIES[name]
    kept = [(value, row) for row, value in enumerate(values) if value is not None and math.isfinite(value)]
    axes.plot([value for value, _ in kept], [row for _, row in kept], mark, color=colour, markersize=size, label=words)


def shortened(name: str, most: int = 48) -> str:
    """Names of ONNX nodes are paths: their end tells them apart."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def legend_below(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """Of the whole figure, under all of it: it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, ncols=columns, **BELOW)


def legend_beside(axes: Axes, title: str = "") -> None:
    """Of one part of a figure, to its right: it covers nothing."""
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        fontsize=8,
        title=title or None,
        title_fontsize=8,
        alignment="left",
        frameon=False,
    )
