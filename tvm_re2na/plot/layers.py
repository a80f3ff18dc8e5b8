"""The cycles of a network, layer by layer: all of them by cause, and the few beyond the bound on a scale of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_re2na.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cycles = Mapping[str, int]
HIDDEN = 0.25  # opacity of losses that did not make the layer longer
HIDDEN_WORDS = "pale: made up for by transfers under other layers"


def report_figure(report: Mapping[str, Any], path: str | os.PathLike[str], name: str = "", on_cpu: int = 0) -> None:
    """Of `compile_report`: left every layer's cycles, stacked by cause, with a mark at its bound; right those beyond the bound.

    `on_cpu`: how many operators the host computes, whose time the cycles do not hold."""
    layers, total = [layer for layer in report["layers"] if layer["cycles"]], report["total"]
    figure = style.new_figure(10, style.rows_height(len(layers)), _title(total, on_cpu), name)
    whole, beyond = figure.subplots(1, 2, sharey=True, width_ratios=[4, 3])
    shown = [cause for cause in style.CAUSES if total["causes"][cause]]
    _stacked(whole, [layer["causes"] for layer in layers], shown)
    parted = [_parted(layer) for layer in layers]
    _stacked(beyond, [longer for longer, _ in parted], shown)
    ends = [sum(longer.values()) for longer, _ in parted]
    _stacked(beyond, [hidden for _, hidden in parted], shown, ends, HIDDEN)
    bounds = [layer["cycles_bound"] for layer in layers]
    label = "bound of the layer (the network's is not their sum)"
    whole.plot(bounds, range(len(layers)), "|", color=style.BLACK, markersize=9, markeredgewidth=2, label=label)
    if any(sum(hidden.values()) for _, hidden in parted):
        whole.barh(0, 0, color=style.GREY, alpha=HIDDEN, label=HIDDEN_WORDS)
    style.describe(whole, "all cycles", "cycles", grid="x")
    style.describe(beyond, "beyond the bound (another scale)", "cycles", grid="x")
    style.named_rows(whole, [layer["name"] for layer in layers])
    for axes in (whole, beyond):
        axes.set_xlim(0, 1.03 * axes.get_xlim()[1])
        style.numbers(axes.xaxis)
    style.legend_below(figure, whole, columns=3)
    style.write_figure(figure, path)


def _title(total: Mapping[str, Any], on_cpu: int) -> str:
    over = f", {total['cycles'] / total['cycles_bound']:.4f} of the network's bound" if total["cycles_bound"] else ""
    operators = "1 operator on the CPU is" if on_cpu == 1 else f"{on_cpu} operators on the CPU are"
    rest = f"\n({operators} not counted)" if on_cpu else ""
    return f"{total['cycles']:,} cycles on Re²Na for one inference{over}{rest}"


def _parted(layer: Mapping[str, Any]) -> tuple[Cycles, Cycles]:
    """The losses by cause, those that end at the layer's cycles less its bound, and the rest.

    A bound that holds for a layer by itself counts all its transfers; where some of them run while other layers compute, losses
    take their place and the layer is no longer for it."""
    room = max(0, layer["cycles"] - layer["cycles_bound"])
    longer: dict[str, int] = {}
    for cause in style.CAUSES:
        longer[cause] = min(layer["causes_beyond"][cause], room)
        room -= longer[cause]
    return longer, {cause: layer["causes_beyond"][cause] - cycles for cause, cycles in longer.items()}


def _stacked(
    axes: Axes, rows: Sequence[Cycles], causes: Sequence[str], start: Sequence[int] = (), opacity: float = 1.0
) -> None:
    left = list(start) or [0] * len(rows)
    for cause in causes:
        colour, words = style.CAUSES[cause]
        cycles = [row[cause] for row in rows]
        axes.barh(range(len(rows)), cycles, left=left, color=colour, height=0.75, label=words, alpha=opacity)
        left = [before + more for before, more in zip(left, cycles, strict=True)]
