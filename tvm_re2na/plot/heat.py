"""A heat map of machines: any column over two swept fields, a panel for each choice of the others."""

from __future__ import annotations

import importlib
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_re2na.exploration.point import FIGURES
from tvm_re2na.plot import style
from tvm_re2na.plot.machines import heading, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
COLOURS = "cividis"  # from dark to light in even steps, also for the colour-blind
HEATED = (*FIGURES, "area_mm2", "offloaded_macs_share")
WORDS = {
    "cycles": "cycles",
    "microseconds": "µs",
    "cycles_bound": "cycles that no schedule can beat",
    "utilisation": "share of the peak",
    "dram_bytes": "DRAM bytes",
    "energy_uj": "µJ",
    "sram_peak_bytes": "bytes of SRAM in use at most",
    "area_mm2": "mm² (a proxy)",
    "offloaded_macs_share": "share of MACs on Re²Na",
}
MOST_PANELS = 12
COLUMNS_OF_PANELS = 3


def check_heat(column: str, sizes: Mapping[str, int]) -> None:
    """Raises PlotError for a column that has no numbers, a sweep of one field, and more than MOST_PANELS panels. `sizes`: of the
    swept fields in order, how many values each has."""
    if column not in HEATED:
        raise style.PlotError(f"heat map: '{column}' is no column with numbers; known: {', '.join(HEATED)}")
    if len(sizes) < 2:
        raise style.PlotError(f"heat map: it takes two swept fields, {len(sizes)} is swept ({', '.join(sizes)})")
    _, _, *others = sizes
    if (panels := math.prod(sizes[field] for field in others)) > MOST_PANELS:
        raise style.PlotError(
            f"heat map: {panels} panels, one for each machine of {', '.join(others)}; at most {MOST_PANELS}"
        )


def heat_figure(
    rows: Sequence[Row], fields: Sequence[str], column: str, path: str | os.PathLike[str], name: str = ""
) -> None:
    """The first field upwards, the second to the right, the value in each cell; machines on the front have a frame.

    Raises PlotError as of check_heat.
    """
    check_heat(column, {field: len(_values(rows, field)) for field in fields})
    down, across, *others = fields
    panels = list(itertools.product(*(_values(rows, field) for field in others)))
    shape = (len(_values(rows, down)), len(_values(rows, across)))
    wide = min(math.isqrt(len(panels) - 1) + 1, COLUMNS_OF_PANELS)  # as many down as across, up to these
    high = -(-len(panels) // wide)
    figure = style.new_figure(
        1.6 + wide * (1.0 + 0.75 * shape[1]), 1.5 + high * (0.9 + 0.36 * shape[0]), f"{column} of each machine", name
    )
    grid = figure.subplots(high, wide, squeeze=False)
    limits = _limits(rows, column)
    image = None
    for axes, panel in itertools.zip_longest(grid.flat, panels):
        if panel is None:
            axes.set_axis_off()
            continue
        chosen = [row for row in rows if tuple(row[field] for field in others) == panel]
        image = _panel(axes, chosen, (down, across), column, limits)
        told = ", ".join(
            f"{heading(field)} = {value_text(field, value)}" for field, value in zip(others, panel, strict=True)
        )
        style.describe(axes, told, heading(across), heading(down), grid="both")
        axes.grid(visible=False)
    if image is not None:
        bar = figure.colorbar(image, ax=grid.ravel().tolist(), shrink=0.9, aspect=30)
        bar.set_label(WORDS[column], fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.ax.yaxis.set_major_formatter(lambda value, _: _number(column, value))
    figure.legend(*_legend(rows), **style.BELOW)
    style.write_figure(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], fields: tuple[str, str], column: str, limits: tuple[float, float]) -> Any:
    places = [_values(rows, field) for field in fields]
    table = [[float("nan")] * len(places[1]) for _ in places[0]]
    cells = {tuple(place.index(row[field]) for place, field in zip(places, fields, strict=True)): row for row in rows}
    for (y, x), row in cells.items():
        if _is_known(row, column):
            table[y][x] = float(row[column])
    image = axes.imshow(table, cmap=COLOURS, vmin=limits[0], vmax=limits[1], origin="lower", aspect="auto")
    axes.set_facecolor(style.PALE)
    low, span = limits[0], (limits[1] - limits[0]) or 1.0
    for (y, x), row in cells.items():
        value = table[y][x]
        known = value == value
        light = known and (value - low) / span > 0.5
        words = _number(column, value) if known else "error" if row["error"] else "-"
        axes.text(
            x, y, words, ha="center", va="center", fontsize=7, color=style.BLACK if light or not known else "white"
        )
        if row["pareto"]:
            axes.add_patch(_frame(x, y))
    axes.set_xticks(range(len(places[1])), [value_text(fields[1], value) for value in places[1]])
    axes.set_yticks(range(len(places[0])), [value_text(fields[0], value) for value in places[0]])
    return image


def _frame(x: int, y: int) -> Any:
    return _patch((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=style.RED, linewidth=1.8)


def _patch(*place: Any, **look: Any) -> Any:
    return importlib.import_module("matplotlib.patches").Rectangle(*place, **look)


def _values(rows: Sequence[Row], field: str) -> list[Any]:
    """In the order in which they stand, numbers from small to large."""
    found = list(dict.fromkeys(row[field] for row in rows))
    return sorted(found) if all(isinstance(value, int) for value in found) else found


def _is_known(row: Row, column: str) -> bool:
    """A pruned machine's bound may be that of a larger SRAM."""
    return row[column] is not None and not (column == "cycles_bound" and row["pruned"])


def _limits(rows: Sequence[Row], column: str) -> tuple[float, float]:
    known = [float(row[column]) for row in rows if _is_known(row, column)]
    return min(known, default=0.0), max(known, default=1.0)


def _number(column: str, value: float) -> str:
    """With three digits that count."""
    if column in ("utilisation", "offloaded_macs_share"):
        return f"{100 * value:.3g}%"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:#.3g}".rstrip(".") + letter
    return f"{value:.3g}"


def _legend(rows: Sequence[Row]) -> tuple[list[Any], list[str]]:
    """Handles and their words."""
    told = {_frame(0, 0): "on the Pareto front of cycles, DRAM traffic and area"}
    if any(row["pruned"] for row in rows):
        told[_patch((0, 0), 1, 1, facecolor=style.PALE)] = "not compiled for: beaten by its bound (--prune)"
    return list(told), list(told.values())
