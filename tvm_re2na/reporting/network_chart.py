"""The network as a graph: operators in ranks from left to right, coloured by where they run."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from tvm_re2na.plot.style import BLUE, RED
from tvm_re2na.reporting.chart import GREY, Chart, layout, polyline, text
from tvm_re2na.reporting.document import ReportLayer, RunReport
from tvm_re2na.reporting.layer_table import place, shape_text, why

LABELS_BELOW = 14.0  # ranks in view
WIDTH = 70  # characters of a line of the box at the pointer
BOW, STEPS = 0.35, 8  # how far an edge that passes ranks bends, and of how many pieces it is


HERE, FOLDED = "Re²Na", "Re²Na, folded into a neighbour"
NEEDED, KEPT = "CPU, has to be there", "CPU, breaks a rule"
SORTS = ((HERE, BLUE, "circle"), (FOLDED, BLUE, "circle-open"), (NEEDED, GREY, "square"), (KEPT, RED, "square"))


def network(report: RunReport) -> Chart:
    """Positions follow from who reads whom."""
    layers = report.layers
    ranks = _ranks(layers)
    rows = _rows(layers, ranks)
    traces: list[dict[str, Any]] = [polyline("reads", _edges(layers, ranks, rows))]
    for name, color, symbol in SORTS:
        there = [index for index, layer in enumerate(layers) if _sort(layer) == name]
        if there:
            traces.append(_nodes(name, color, symbol, there, layers, ranks, rows))
    note = (
        "Data flows from left to right. Drag to move along, scroll to zoom; names appear where there is room."
        " What is computed with another operator, like an activation behind a convolution, is part of that one."
    )
    hidden = {"visible": False, "showgrid": False, "zeroline": False}
    low, high = min(rows, default=0.0), max(rows, default=0.0)
    x = {**hidden, "range": [-1, max(ranks, default=0) + 1]}
    y = {**hidden, "range": [low - 0.8, high + 1.2], "fixedrange": True}
    form = layout(x, y, dragmode="pan") | {"margin": {"l": 8, "r": 8, "t": 34, "b": 8}}
    return Chart(
        "network", "The network, and where it runs", note, traces, form, int(110 + 50 * (high - low + 1)), LABELS_BELOW
    )


def _nodes(
    name: str,
    color: str,
    symbol: str,
    there: Sequence[int],
    layers: Sequence[ReportLayer],
    ranks: list[int],
    rows: list[float],
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [ranks[index] for index in there],
        "y": [rows[index] for index in there],
        "customdata": list(there),
        "text": [text(_short(layers[index])) for index in there],
        "textposition": ["top center" if index % 2 else "bottom center" for index in there],
        "textfont": {"size": 11},
        "hovertext": [_told(layers[index]) for index in there],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "color": color,
            "size": 11,
            "symbol": symbol,
            "line": {"width": 2 if "open" in symbol else 0, "color": color},
        },
        "cliponaxis": False,
    }


def _sort(layer: ReportLayer) -> str:
    if layer.offloaded:
        return HERE if layer.costs is not None else FOLDED
    return NEEDED if layer.rule == "host_boundary" else KEPT


def _short(layer: ReportLayer) -> str:
    """Both ends of a long name, which tell operators apart."""
    name = layer.name.strip("/")
    return name if len(name) <= 22 else f"{name[:8]}…{name[-13:]}"


def _told(layer: ReportLayer) -> str:
    shapes = f"{', '.join(map(shape_text, layer.input_shapes)) or '?'} → {shape_text(layer.output_shape) or '?'}"
    cycles = "" if layer.costs is None else f"{layer.costs.cycles:,} cycles"
    reason = textwrap.wrap(why(layer), WIDTH, break_long_words=False, break_on_hyphens=False)
    return text(layer.name, f"{layer.op} on {place(layer)}", shapes, cycles, *reason)


def _ranks(layers: Sequence[ReportLayer]) -> list[int]:
    """One more than the highest of what each reads; operators stand in the order of execution."""
    ranks: list[int] = []
    for index, layer in enumerate(layers):
        before = [ranks[place] for place in layer.reads if place < index]
        ranks.append(max(before, default=-1) + 1)
    return ranks


def _rows(layers: Sequence[ReportLayer], ranks: list[int]) -> list[float]:
    """Beside what each reads, and one below the other where several are of one rank."""
    rows = [0.0] * len(layers)
    taken: dict[int, list[float]] = {}
    for index, layer in enumerate(layers):
        before = [rows[place] for place in layer.reads if place < index]
        row = round(sum(before) / len(before)) if before else 0
        used = taken.setdefault(ranks[index], [])
        rows[index] = next(float(row + step) for step in _nearest() if float(row + step) not in used)
        used.append(rows[index])
    return rows


def _nearest() -> Iterator[int]:
    """0, -1, 1, -2, 2, ..."""
    yield 0
    for step in itertools.count(1):
        yield from (-step, step)


def _edges(
    layers: Sequence[ReportLayer], ranks: list[int], rows: list[float]
) -> list[tuple[list[float], list[float], list[int]]]:
    found = []
    for index, layer in enumerate(layers):
        for before in layer.reads:
            span = ranks[index] - ranks[before]
            bow = BOW * min(span, 4) / 2 if span > 1 and rows[index] == rows[before] else 0.0
            steps = [step / STEPS for step in range(STEPS + 1)] if bow else [0.0, 1.0]
            xs = [ranks[before] + span * at for at in steps]
            ys = [rows[before] + (rows[index] - rows[before]) * at + 4 * bow * at * (1 - at) for at in steps]
            found.append((xs, ys, sorted({before, index})))
    return found
