"""The cycles of a network, layer by layer: all of them by cause, and the few beyond the bound on a scale of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_re2na.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def report_figure(report: Mapping[str, Any], path: str | os.PathLike[str], name: str = "") -> None:
    """Of `compile_report`: left every layer's cycles, stacked by cause, with a mark at its bound; right those beyond the bound."""
    layers, total = [layer for layer in report["layers"] if layer["cycles"]], report["total"]
    over = f", {total['cycles'] / total['cycles_bound']:.4f} of their bound" if total["cycles_bound"] else ""
    title = f"{total['cycles']:,} cycles for one inference{over}"
    figure = style.new_figure(10, style.rows_height(len(layers)), title, name)
    whole, beyond = figure.subplots(1, 2, sharey=True, width_ratios=[4, 3])
    shown = [cause for cause in style.CAUSES if total["causes"][cause]]
    _stacked(whole, [layer["causes"] for layer in layers], shown)
    _stacked(beyond, [layer["causes_beyond"] for layer in layers], shown)
    bounds = [layer["cycles_bound"] for layer in layers]
    whole.plot(
        bounds, range(len(layers)), "|", color=style.BLACK, markersize=9, markeredgewidth=2, label="bound of the layer"
    )
    style.describe(whole, "all cycles", "cycles", grid="x")
    style.describe(beyond, "beyond the bound (another scale)", "cycles", grid="x")
    style.named_rows(whole, [layer["name"] for layer in layers])
    for axes in (whole, beyond):
        axes.set_xlim(0, 1.03 * axes.get_xlim()[1])
        style.numbers(axes.xaxis)
    style.legend_below(figure, whole)
    style.write_figure(figure, path)


def _stacked(axes: Axes, rows: Sequence[Mapping[str, int]], causes: Sequence[str]) -> None:
    left = [0] * len(rows)
    for cause in causes:
        colour, words = style.CAUSES[cause]
        cycles = [row[cause] for row in rows]
        axes.barh(range(len(rows)), cycles, left=left, color=colour, height=0.75, label=words)
        left = [before + more for before, more in zip(left, cycles, strict=True)]
