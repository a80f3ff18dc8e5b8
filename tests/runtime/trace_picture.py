"""Draws what a file for Perfetto holds, for docs/trace.md: `python -m tests.runtime.trace_picture NET.pftrace PICTURE.png`.

It reads the file and nothing else. Causes and what transfers carry have the colours and words of all figures.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.runtime.trace_reader import ReadSlice, ReadTrace, ReadTrack, read_file
from tvm_re2na.plot import new_figure, write_figure
from tvm_re2na.plot.style import BLACK, CAUSES, GREY, PALE, describe, legend_below, numbers
from tvm_re2na.reporting.chart import CARRIED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = ("layers", "causes", "ARRAY", "LOAD", "LOAD in flight", "STORE", "STORE in flight")
TRANSFERS = {kind: (colour, f"bus: {words}") for kind, (colour, words) in CARRIED.items()}
KINDS = CAUSES | TRANSFERS
GREYS = (PALE, "#EEEEEE")  # neighbours
HALF = 0.4  # of a bar
NARROW = 0.008  # of the width, for each character of a label


def draw(trace: ReadTrace, path: Path) -> None:
    """The tracks of slices with arrows between them; the counters under them."""
    mhz = float(re.findall(r"\((\d+) MHz\)", trace.labels[0])[0])
    figure = new_figure(11, 6.5, trace.labels[1], trace.process)
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[4, 1, 1])
    end = max(each.finish for track in trace.tracks for each in track.slices)
    sram, *transfers = (track for track in trace.tracks if track.unit)
    describe(axes[0], "the engines; arrows lead along tokens", grid="x")
    describe(axes[1], f"{sram.name}", y=sram.unit)
    unit = f"ns from the start of the run; {trace.labels[0]}"
    describe(axes[2], "DRAM bus: LOAD grey, STORE black", unit, transfers[0].unit.replace("/", "\nin a "))
    _tracks(axes[0], trace, end)
    for each, track, colour in zip(axes[[1, 2, 2]], (sram, *transfers), (GREY, GREY, BLACK), strict=True):
        _counter(each, track, colour)
    cycles = axes[0].secondary_xaxis("top", functions=(lambda ns: ns * mhz / 1000, lambda at: at * 1000 / mhz))
    cycles.set_xlabel("cycles", fontsize=9)
    cycles.tick_params(labelsize=8)
    for axis in (cycles.xaxis, axes[2].xaxis):
        numbers(axis)
    axes[1].yaxis.set_major_formatter("{x:,.0f}")
    axes[0].set_xlim(0, end)
    legend_below(figure, axes[0])
    write_figure(figure, path)


def _tracks(axes: Axes, trace: ReadTrace, end: int) -> None:
    height: dict[int, float] = {}  # where each slice lies
    carried = {each.notes["instruction"]: each.notes["carries"] for each in _slices(trace) if "carries" in each.notes}
    shown = {each.name for each in _slices(trace) if each.depth} | set(carried.values())
    for track in trace.tracks:
        for number, each in enumerate(each for each in track.slices if each.depth == 0):
            kind = str(carried.get(each.notes.get("instruction", -1), ""))
            _bar(axes, track, each, KINDS[kind][0] if kind else GREYS[number % len(GREYS)], end)
            height[id(each)] = ROWS.index(track.name)
        for each in (each for each in track.slices if each.depth):
            axes.barh(ROWS.index("causes"), each.finish - each.start, left=each.start, color=KINDS[each.name][0])
    for giver, taker in trace.arrows:
        side = HALF if height[id(taker)] > height[id(giver)] else -HALF
        start, finish = (giver.finish, height[id(giver)] + side), (taker.start, height[id(taker)] - side)
        axes.annotate("", finish, start, arrowprops={"arrowstyle": "->", "lw": 0.7, "shrinkA": 0, "shrinkB": 0})
    axes.set_yticks(range(len(ROWS)), ROWS)
    axes.set_ylim(len(ROWS) - 0.4, -0.6)
    for colour, words in (named for kind, named in KINDS.items() if kind in shown):
        axes.barh(0, 0, color=colour, label=words)


def _slices(trace: ReadTrace) -> list[ReadSlice]:
    return [each for track in trace.tracks for each in track.slices]


def _bar(axes: Axes, track: ReadTrack, each: ReadSlice, colour: str, end: int) -> None:
    axes.barh(
        ROWS.index(track.name),
        each.finish - each.start,
        left=each.start,
        color=colour,
        edgecolor=BLACK,
        linewidth=0.4,
        hatch="////" if track.name.endswith("flight") else None,
    )
    label = each.name if track.name == "layers" else each.name.split()[0]
    if each.finish - each.start > NARROW * len(label) * end and not track.name.endswith("flight"):
        axes.text((each.start + each.finish) / 2, ROWS.index(track.name), label, ha="center", va="center", fontsize=7)


def _counter(axes: Axes, track: ReadTrack, colour: str) -> None:
    places, values = zip(*track.steps, strict=True)
    axes.step(places, values, where="post", color=colour, label=track.name)
    axes.fill_between(places, values, step="post", color=colour, alpha=0.25)
    axes.set_ylim(bottom=0)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(read_file(Path(sys.argv[1])), Path(sys.argv[2]))
