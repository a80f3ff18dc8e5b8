"""The pictures over time: the engines with what they wait for, and the SRAM."""

from __future__ import annotations

from typing import Any

from tvm_re2na.plot.style import CAUSES, binary_bytes
from tvm_re2na.reporting.chart import CARRIED, LINE, Chart, axis, bars, layout, polyline, text
from tvm_re2na.reporting.document import EngineWork, RunReport

ENGINES = {"STORE": 0, "ARRAY": 1, "LOAD": 2}  # from below
HALF = 0.36  # of a bar's height
CYCLES = "cycles of one run"


def timeline(report: RunReport) -> Chart:
    """Engines above each other, what each does as bars, tokens as lines between them."""
    work = [each for region in report.regions for each in region.work]
    traces = [_tokens(report)]
    for kinds, engines in ((CAUSES, ("ARRAY",)), (CARRIED, ("LOAD", "STORE"))):
        for what, (color, name) in kinds.items():
            there = [each for each in work if each.what == what and each.engine in engines]
            if there:
                traces.append(_works(name if engines[0] == "ARRAY" else f"bus: {name}", color, there, report))
    note = (
        "LOAD and STORE are shown while they have the DRAM bus; a line leads from what has finished to what waited for it, and its"
        " delay is the DRAM's latency. Shades tell layers apart. Drag to zoom, here or in the"
        " SRAM's picture, double-click to come back." + _regions_note(report)
    )
    y = axis("", tickvals=list(ENGINES.values()), ticktext=list(ENGINES), range=[-0.6, 2.6], fixedrange=True)
    form = layout(axis(_cycles(report), tickformat="~s", range=[0, report.cycles * 1.01]), y, shapes=_borders(report))
    return Chart("timeline", "Timeline of the engines", note, traces, form, 340, over_time=True)


def _works(name: str, color: str, works: list[EngineWork], report: RunReport) -> dict[str, Any]:
    return bars(
        name,
        color,
        orientation="h",
        base=[each.start for each in works],
        x=[each.finish - each.start for each in works],
        y=[ENGINES[each.engine] for each in works],
        width=[2 * HALF] * len(works),
        customdata=[each.layer for each in works],
        shades=[each.layer for each in works],
        hovertext=[
            text(
                report.layers[each.layer].name,
                f"{each.engine}: {name}" + (f", {each.bytes:,} bytes" if each.bytes else ""),
                f"cycles {each.start:,} to {each.finish:,} ({each.finish - each.start:,})",
            )
            for each in works
        ],
    )


def _tokens(report: RunReport) -> dict[str, Any]:
    segments = []
    for region in report.regions:
        for token in region.tokens:
            down = ENGINES[token.giver] > ENGINES[token.taker]
            rows = ENGINES[token.giver] + (-HALF if down else HALF), ENGINES[token.taker] + (HALF if down else -HALF)
            layers = sorted({token.giver_layer, token.taker_layer})
            segments.append(([float(token.given), float(token.taken)], list(rows), layers))
    return polyline("tokens", segments, opacity=0.45)


def sram(report: RunReport) -> Chart:
    """Addresses over time above, live bytes below."""
    blocks = [block for region in report.regions for block in region.blocks]
    traces = []
    for kind, (color, name) in CARRIED.items():
        there = [block for block in blocks if block.kind == kind]
        if there:
            traces.append(
                bars(
                    name,
                    color,
                    orientation="h",
                    base=[block.since for block in there],
                    x=[max(block.until - block.since, 1) for block in there],
                    y=[(block.start + block.stop) / 2 for block in there],
                    width=[block.stop - block.start for block in there],
                    customdata=[block.layer for block in there],
                    shades=[block.layer for block in there],
                    hovertext=[
                        text(
                            report.layers[block.layer].name,
                            f"{name}, bytes {block.start:,} to {block.stop:,}",
                            f"cycles {block.since:,} to {block.until:,} ({block.until - block.since:,})",
                        )
                        for block in there
                    ],
                )
            )
    size, peak = report.number("sram_bytes"), report.total.get("sram_peak_bytes") or 0
    traces += _live(report, size)
    note = (
        f"Above, who lies where, from the first write to the last read; shades tell layers apart. Below, how many of the {size:,}"
        f" bytes are needed; what is above the line is free. The highest address in use is {peak:,} ({peak / size:.0%})."
        + _regions_note(report)
    )
    bytes_axis = {"zeroline": False, "automargin": True}
    form = layout(
        axis(_cycles(report), tickformat="~s", anchor="y2", range=[0, report.cycles * 1.01]),
        {
            **bytes_axis,
            **_ticks(peak, 8),
            "domain": [0.36, 1],
            "title": {"text": "address", "standoff": 8},
            "range": [0, peak * 1.02],
        },
        yaxis2={
            **bytes_axis,
            **_ticks(size, 4),
            "domain": [0, 0.27],
            "title": {"text": "live", "standoff": 8},
            "range": [0, size * 1.05],
        },
        shapes=_borders(report),
    )
    return Chart("sram", "SRAM over time", note, traces, form, 560, over_time=True)


def _ticks(most: int, count: int) -> dict[str, Any]:
    """At most `count` steps of a power of two bytes from 0 to `most`."""
    step = 1 << max(0, (-(-max(most, 1) // count) - 1).bit_length())
    places = list(range(0, most + 1, step))
    return {"tickvals": places, "ticktext": [binary_bytes(place) if place else "0" for place in places]}


def _live(report: RunReport, size: int) -> list[dict[str, Any]]:
    steps = [step for region in report.regions for step in region.live]
    ends = [0, report.cycles]
    line = {"type": "scatter", "mode": "lines", "yaxis": "y2"}
    return [
        {
            **line,
            "name": "live",
            "x": [cycle for cycle, _ in steps],
            "y": [live for _, live in steps],
            "line": {"color": LINE, "width": 1, "shape": "hv"},
            "fill": "tozeroy",
            "hovertext": [f"cycle {cycle:,}: {live:,} bytes live, {size - live:,} free" for cycle, live in steps],
            "hovertemplate": "%{hovertext}<extra></extra>",
        },
        {
            **line,
            "name": "all there is",
            "x": ends,
            "y": [size, size],
            "line": {"color": LINE, "width": 2, "dash": "dash"},
            "hoverinfo": "skip",
        },
    ]


def _cycles(report: RunReport) -> str:
    return CYCLES if report.batch == 1 else f"{CYCLES} ({report.batch} images)"


def _borders(report: RunReport) -> list[dict[str, Any]]:
    """Where a region ends and the CPU takes over."""
    line = {"color": LINE, "width": 1, "dash": "dot"}
    at = [region.start for region in report.regions[1:]]
    return [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line} for x in at]


def _regions_note(report: RunReport) -> str:
    if len(report.regions) < 2:
        return ""
    count = len(report.regions)
    return f" The {count} regions follow each other here; what the CPU does between them takes no time in this picture."
