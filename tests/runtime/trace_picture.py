"""Draws what a file for Perfetto holds, for docs/trace.md: `python -m tests.runtime.trace_picture NET.pftrace PICTURE.png`.

It reads the file and nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.runtime.trace_reader import ReadSlice, ReadTrace, ReadTrack, read_file
from tvm_re2na.plot import new_figure, write_figure
from tvm_re2na.plot.style import BLUE, CAUSES, GREEN, RED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = ("layers", "causes", "ARRAY", "LOAD", "LOAD in flight", "STORE", "STORE in flight")
COLOURS = {cause: colour for cause, (colour, _) in CAUSES.items()} | {
    "ARRAY": SKY,
    "LOAD": "#E0C080",
    "STORE": "#A8D5BA",
}
GREYS = ("#D0D0D0", "#E8E8E8")
HALF = 0.4  # of a bar
NARROW = 0.008  # of the width, for each character of a label


def draw(trace: ReadTrace, path: Path) -> None:
    """The tracks of slices with arrows between them; the counters under them."""
    mhz = float(re.findall(r"\((\d+) MHz\)", trace.labels[0])[0])
    figure = new_figure(11, 6.5)
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[4, 1, 1])
    end = max(each.finish for track in trace.tracks for each in track.slices)
    _tracks(axes[0], trace, end)
    sram, *transfers = (track for track in trace.tracks if track.unit)
    _counter(axes[1], sram, BLUE)
    for track, colour in zip(transfers, (RED, GREEN), strict=True):
        _counter(axes[2], track, colour)
    axes[2].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    for each, name, unit in ((axes[1], sram.name, sram.unit), (axes[2], "DRAM bus", transfers[0].unit)):
        each.set_ylim(bottom=0)
        each.set_ylabel(f"{name}\n{unit}")
    axes[2].set_xlabel(f"ns from the start of the run; {trace.labels[0]}")
    cycles = axes[0].secondary_xaxis("top", functions=(lambda ns: ns * mhz / 1000, lambda at: at * 1000 / mhz))
    cycles.set_xlabel("cycles")
    for axis in (cycles.xaxis, axes[1].yaxis, axes[2].xaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes[0].set_xlim(0, end)
    figure.suptitle(f"{trace.process}, {trace.labels[1]}", fontsize=11)
    write_figure(figure, path)


def _tracks(axes: Axes, trace: ReadTrace, end: int) -> None:
    height: dict[int, float] = {}  # where each slice lies
    for track in trace.tracks:
        for number, each in enumerate(each for each in track.slices if each.depth == 0):
            _bar(axes, track, each, number, end)
            height[id(each)] = ROWS.index(track.name)
        for each in track.slices:
            if each.depth:
                axes.barh(ROWS.index("causes"), each.finish - each.start, left=each.start, color=COLOURS[each.name])
    for giver, taker in trace.arrows:
        side = HALF if height[id(taker)] > height[id(giver)] else -HALF
        start, finish = (giver.finish, height[id(giver)] + side), (taker.start, height[id(taker)] - side)
        axes.annotate("", finish, start, arrowprops={"arrowstyle": "->", "lw": 0.7, "shrinkA": 0, "shrinkB": 0})
    axes.set_yticks(range(len(ROWS)), ROWS)
    axes.set_ylim(len(ROWS) - 0.4, -0.6)
    shown = {each.name for track in trace.tracks for each in track.slices if each.depth}
    for name in (name for name in COLOURS if name in shown):
        axes.barh(0, 0, color=COLOURS[name], label=name)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, title="causes")


def _bar(axes: Axes, track: ReadTrack, each: ReadSlice, number: int, end: int) -> None:
    kind = track.name.split()[0]
    colour = COLOURS.get(kind, GREYS[number % len(GREYS)])
    axes.barh(
        ROWS.index(track.name),
        each.finish - each.start,
        left=each.start,
        color=colour,
        edgecolor="black",
        linewidth=0.4,
        hatch="////" if track.name.endswith("flight") else None,
    )
    label = each.name if kind == "layers" else each.name.split()[0]
    if each.finish - each.start > NARROW * len(label) * end and not track.name.endswith("flight"):
        axes.text((each.start + each.finish) / 2, ROWS.index(track.name), label, ha="center", va="center", fontsize=7)


def _counter(axes: Axes, track: ReadTrack, colour: str) -> None:
    places, values = zip(*track.steps, strict=True)
    axes.step(places, values, where="post", color=colour, label=track.name)
    axes.fill_between(places, values, step="post", color=colour, alpha=0.25)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(read_file(Path(sys.argv[1])), Path(sys.argv[2]))
