"""The pictures of one run, each of the layers, the roof above them, or accuracy; those over time are in `time_charts.py`."""

from __future__ import annotations

from typing import Any

from tvm_re2na.plot.style import BLUE, CAUSES, RED
from tvm_re2na.reporting.chart import LINE, Chart, axis, bars, integers, layout, polyline, text
from tvm_re2na.reporting.differences import Differences, LayerPair
from tvm_re2na.reporting.document import Costs, ReportLayer, RunReport, WidthRow

A_COLOR, B_COLOR = BLUE, RED
TICKS = 40  # of layers on an axis, at most


def _costed(report: RunReport) -> list[tuple[int, ReportLayer, Costs]]:
    """The layers that have cycles of their own."""
    return [
        (index, layer, layer.costs)
        for index, layer in enumerate(report.layers)
        if layer.costs is not None and layer.costs.cycles
    ]


def cycles_chart(report: RunReport) -> Chart:
    """Cycles by cause, a bar for each layer."""
    layers = _costed(report)
    traces, base = [], {index: 0 for index, _, _ in layers}
    for cause, (color, name) in CAUSES.items():
        there = [(index, layer, costs) for index, layer, costs in layers if costs.causes.get(cause)]
        if there:
            traces.append(
                bars(
                    name,
                    color,
                    x=[index for index, _, _ in there],
                    y=[costs.causes[cause] for _, _, costs in there],
                    base=[base[index] for index, _, _ in there],
                    width=[0.8] * len(there),
                    customdata=[index for index, _, _ in there],
                    hovertext=[_cycles_text(name, cause, layer, costs) for _, layer, costs in there],
                )
            )
        for index, _, costs in there:
            base[index] += costs.causes[cause]
    marks = (([index - 0.48, index + 0.48], [float(costs.cycles_bound)] * 2, [index]) for index, _, costs in layers)
    line = {"color": LINE, "width": 2}
    traces.append(polyline("no schedule is faster", marks, showlegend=True, line=line))
    note = (
        "Where the array's time goes. A bar that ends above its mark loses time, and the table says to what; one that ends below"
        " had its transfers done while other layers worked."
    )
    axes = _numbered(len(report.layers)), integers("cycles of one inference")
    return Chart("cycles", "Cycles by layer and cause", note, traces, layout(*axes))


def _numbered(layers: int) -> dict[str, Any]:
    return axis("layer, as numbered in the table", tickformat="d", range=[-0.7, layers - 0.3])


def _cycles_text(name: str, cause: str, layer: ReportLayer, costs: Costs) -> str:
    loss = f"{costs.loss}: {costs.loss_cycles:,}" if costs.loss else ""
    return text(
        layer.name, f"{name}: {costs.causes[cause]:,} of {costs.cycles:,} cycles", f"bound {costs.cycles_bound:,}", loss
    )


def roofline(reports: tuple[RunReport, ...], names: tuple[str, ...] = (), pairs: Differences | None = None) -> Chart:
    """Layers below the roof of their machine: peak of the array, bandwidth of the DRAM."""
    traces: list[dict[str, Any]] = []
    roofs, everything = [], list[Any]()
    for number, (report, color) in enumerate(zip(reports, (A_COLOR, B_COLOR), strict=False)):
        side = names[number] if names else ""
        points = _points(report, _places(pairs, number) if pairs else None)
        everything += points
        roofs.append((report, f"roof {side}".rstrip(), color if names else LINE))
        traces.append(_layers(points, f"layers {side}".rstrip(), color))
    ridges = [report.peak_macs_per_cycle / report.number("dram_bytes_per_cycle") for report in reports]
    known = [*(x for _, _, x, _, _ in everything if x), *ridges]
    ends = min(known) / 2, max(known) * 3
    traces = [*(_roof(report, ends, name, color) for report, name, color in roofs), *traces]
    note = (
        "The slope is what the DRAM's bandwidth allows, the flat part the multipliers. The nearer to the roof, the better; what"
        " keeps a layer below it may also be its mapping or a wait, and the table of layers names the largest loss. A point above"
        " the slope is a layer whose bytes came while other layers worked. One that moves no byte is a"
        " triangle at the right edge; layers without multiplications are not shown."
    )
    x = axis(
        "multiply-accumulates for each byte over the DRAM bus",
        type="log",
        exponentformat="SI",
        tickmode="linear",
        dtick=1,
    )
    y = axis("multiply-accumulates a cycle", type="log", exponentformat="SI", tickmode="linear", dtick=1)
    return Chart("roofline", "Roofline", note, traces, layout(x, y), 420)


def _places(pairs: Differences, side: int) -> dict[int, int]:
    """Of a run's layers in the list of pairs, by identity."""
    return {id(pair.b if side else pair.a): index for index, pair in enumerate(pairs.layers)}


def _points(report: RunReport, places: dict[int, int] | None) -> list[tuple[int, str, float | None, float, Costs]]:
    """Place, name, MACs a byte (None without any bytes), MACs a cycle."""
    return [
        (
            index if places is None else places[id(layer)],
            layer.name,
            costs.macs / costs.dram_bytes if costs.dram_bytes else None,
            costs.macs / costs.cycles,
            costs,
        )
        for index, layer, costs in _costed(report)
        if costs.macs
    ]


def _roof(report: RunReport, ends: tuple[float, float], name: str, color: str) -> dict[str, Any]:
    peak, bandwidth = report.peak_macs_per_cycle, report.number("dram_bytes_per_cycle")
    xs = [ends[0], peak / bandwidth, ends[1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": xs,
        "y": [xs[0] * bandwidth, peak, peak],
        "line": {"color": color, "width": 2},
        "hovertemplate": f"peak {peak:,.4g} MACs a cycle, DRAM {bandwidth:,} bytes a cycle<extra></extra>",
    }


def _layers(points: list[Any], name: str, color: str) -> dict[str, Any]:
    edge = max((x for _, _, x, _, _ in points if x), default=1.0) * 2
    longest = max((costs.cycles for *_, costs in points), default=1)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [edge if x is None else x for _, _, x, _, _ in points],
        "y": [y for _, _, _, y, _ in points],
        "customdata": [index for index, *_ in points],
        "hovertext": [
            text(
                layer,
                f"{y:,.1f} MACs a cycle, " + ("no byte over the bus" if x is None else f"{x:,.2f} MACs a byte"),
                f"{costs.cycles:,} cycles, bound {costs.cycles_bound:,}",
            )
            for _, layer, x, y, costs in points
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "color": color,
            "opacity": 0.75,
            "size": [7 + 15 * (costs.cycles / longest) ** 0.5 for *_, costs in points],
            "symbol": ["circle" if x is not None else "triangle-right" for _, _, x, _, _ in points],
        },
    }


def widths_chart(rows: tuple[WidthRow, ...]) -> Chart:
    """Top-1 against the width of weights and activations."""
    known = sorted((row for row in rows if row.top1 is not None), key=lambda row: row.bits)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "Re²Na",
            "x": [row.bits for row in known],
            "y": [row.top1 for row in known],
            "line": {"color": BLUE, "width": 2},
            "marker": {"size": 9},
            "hovertext": [_width_text(row) for row in known],
            "hovertemplate": "%{hovertext}<extra></extra>",
        }
    ]
    in_float = next((row.top1_float for row in known if row.top1_float is not None), None)
    if in_float is not None:
        ends = [known[0].bits, known[-1].bits]
        line = {"color": LINE, "width": 2, "dash": "dash"}
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "float", "x": ends, "y": [in_float] * 2, "line": line}
        )
    note = "From the survey that was given: the whole network quantised anew at each width."
    axes = axis("bits of weights and activations", dtick=1, tickformat="d"), axis("top-1 accuracy", tickformat=".1%")
    return Chart("widths", "Accuracy by width", note, traces, layout(*axes), 320)


def _width_text(row: WidthRow) -> str:
    more = "" if row.snr_db is None else f"SNR {row.snr_db:.1f} dB"
    return text(f"{row.bits} bits: {row.top1:.2%}", more, f"{row.overflows:,} overflows" if row.overflows else "")


def pairs_chart(pairs: Differences, names: tuple[str, str]) -> Chart:
    """Cycles of each layer in both runs, in the network's order."""
    costed = [
        (index, pair)
        for index, pair in enumerate(pairs.layers)
        if any(side is not None and side.costs is not None and side.costs.cycles for side in (pair.a, pair.b))
    ]
    ordered = sorted(costed, key=lambda item: (item[1].number, item[1].a is None))
    traces = [_side(ordered, side, name) for side, name in enumerate(names)]
    step = -(-len(ordered) // TICKS) or 1
    places = range(0, len(ordered), step)
    ticks = {"tickvals": list(places), "ticktext": [ordered[place][1].label for place in places], "tickangle": 0}
    x = axis("layer, by its # in the table", range=[-0.7, len(ordered) - 0.3], **ticks)
    note = "Layers in the network's order; those that have no cycles in either run are left out."
    return Chart("cycles", "Cycles of both", note, traces, layout(x, integers("cycles of one inference")))


def _side(ordered: list[tuple[int, LayerPair]], side: int, name: str) -> dict[str, Any]:
    found = []
    for place, (index, pair) in enumerate(ordered):
        layer = (pair.a, pair.b)[side]
        if layer is not None and layer.costs is not None and layer.costs.cycles:
            found.append((place, index, layer, layer.costs))
    return bars(
        name,
        (A_COLOR, B_COLOR)[side],
        x=[place + 0.4 * side - 0.2 for place, *_ in found],
        y=[costs.cycles for *_, costs in found],
        width=[0.4] * len(found),
        customdata=[index for _, index, *_ in found],
        hovertext=[text(layer.name, f"{name}: {costs.cycles:,} cycles") for *_, layer, costs in found],
    )
