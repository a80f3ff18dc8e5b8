"""The results of benchmarks/peers.py as a page with its picture: docs/peers.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers_row import Row
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("SRAM", "tool", "MACs/cycle", "cycles", "of peak", "DRAM bytes", "SRAM used", "CPU s")
PICTURE = Path("pictures") / "peers.png"
LOOKS = {
    "Re²Na, a MAC": (style.MACHINE, "o"),
    "Re²Na": (style.SKY, "v"),
    "u65": (style.ORANGE, "s"),
    "u85": (style.RED, "P"),
    "ZigZag": (style.GREEN, "^"),
}
HEAD = """# Beside other tools

The same networks, the same int8 weights and shapes, the same sizes of SRAM and a DRAM of {bandwidth} bytes a cycle:
what [Vela](https://pypi.org/project/ethos-u-vela/), Arm's compiler for Ethos-U, and
[ZigZag](https://pypi.org/project/zigzag-dse/), KU Leuven's mapping search, make of them beside us. This page is made by

    make peers
    python benchmarks/peers.py{networks} --page docs/peers.md

with {versions}. The machines are alike, not equal; read [what differs](#what-differs-in-the-machines) first.

![DRAM bytes over the size of the SRAM, and MACs per cycle over the peak, for every tool]({picture})

{verdict}

## What differs in the machines

| | Re²Na | Ethos-U65, Ethos-U85 | ZigZag's array |
|---|---|---|---|
| MACs a cycle at most | 819.2, a MAC taking 5 cycles; 4,096 pipelined | 512 (U65-512), 2,048 (U85-2048) | 4,096 |
| weights in DRAM | as they are{coding} | compressed without loss, decoded on the way in | as they are |
| maps between layers | in SRAM, in DRAM where they do not fit | dedicated: in DRAM, the SRAM is a cache of them; shared: all of \
them in SRAM, which may then need more than there is | in DRAM, before and after each layer |
| network's input and output | in DRAM | dedicated: in DRAM; shared: in SRAM, their bytes are added here | in DRAM |
| cycles | from a simulator that runs the program, bit for bit | Vela's estimate; no program is run | its cost model |
| operators | all | all; an addition, a pooling and a padding too | convolutions and dense layers |

* *of peak* is the network's MACs over cycles times the MACs that the machine could do in one: how busy the array is, whatever its
  size.
* *SRAM used* is what the tool says; a figure in brackets is more than the machine has. Such a row is of a larger machine, no judge.
* *CPU s* is processor time: of ours from graph to program and its timing; of the others of their whole process. ZigZag
  searches layers that are alike once.
* Vela reads a TFLite file that is made from our graph (`benchmarks/peers_twin.py`): the same operators in the same order, the same
  weights. A pooling's window may lie a pixel beside ours, which moves no byte more.
* Vela's configuration is ours, too (`benchmarks/peers_vela.py`): 200 MHz, DRAM and latency as of Re²Na, Ethos-U's own SRAM ports.
* EfficientNet-Lite0 has its trained weights, quantised without the search, which would cut layers in parts; the others have random
  ones, normally distributed in float.
"""


def look(tool: str) -> tuple[str, str, str]:
    """Colour, mark and line of a tool: its first word and chip give the colour, its way of working the line."""
    colour, mark = next((shown for part, shown in LOOKS.items() if part in tool), (style.BLACK, "x"))
    return colour, mark, "--" if "shared" in tool or "weights in" in tool else "-"


def heading() -> tuple[str, ...]:
    return ("network", *COLUMNS)


def cells(row: Row, macs: int) -> tuple[str, ...]:
    """One line of a table, without the network."""
    used = "" if row.sram_used is None else f"{row.sram_used:,}"
    if row.cycles is None or row.dram_bytes is None or row.cpu_seconds is None:
        return (style.binary_bytes(row.sram_bytes), row.tool, f"{row.peak:,g}", row.note, "", "", "", "")
    return (
        style.binary_bytes(row.sram_bytes),
        row.tool,
        f"{row.peak:,g}",
        f"{row.cycles:,}",
        f"{busy(row, macs):.0%}",
        f"{row.dram_bytes:,}",
        used if row.fits else f"({used})",
        f"{row.cpu_seconds:.1f}",
    )


def busy(row: Row, macs: int) -> float:
    """MACs over what the array could have done in the time."""
    return macs / (row.cycles * row.peak) if row.cycles else 0.0


def write_page(
    path: Path,
    rows: Sequence[Row],
    macs: dict[str, int],
    bandwidth: int,
    told: Sequence[str],
    missed: Sequence[str],
) -> None:
    """The page, and its picture beside it."""
    picture = path.parent / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(picture, rows, macs)
    named = list(dict.fromkeys(row.network for row in rows))
    plain = not any("weights in" in row.tool for row in rows)
    text = HEAD.format(
        bandwidth=bandwidth,
        networks="".join(f" {name}" for name in named),
        versions=", ".join(told) or "neither",
        picture=PICTURE.as_posix(),
        verdict=_verdict(missed),
        coding="" if plain else ", or coded (rows that say so)",
    )
    parts = [text]
    for network in named:
        lines = [cells(row, macs[network]) for row in rows if row.network == network]
        parts += [f"## {network}, {macs[network]:,} MACs\n", _markdown(lines)]
        energies = [row for row in rows if row.network == network and row.note and row.cycles is not None]
        if energies:
            listed = ", ".join(f"{row.note} ({style.binary_bytes(row.sram_bytes)})" for row in energies)
            parts += [f"Energy by ZigZag's own model: {listed}.\n"]
    write_atomically(path, "\n".join(parts).encode())


def _verdict(missed: Sequence[str]) -> str:
    if not missed:
        return (
            "On every network and size that is judged, our DRAM traffic is below the least of Vela's that fits the SRAM,"
            " on whichever of its two chips and in whichever of its two modes."
        )
    return "\n".join(
        [
            "Not below Vela's DRAM traffic, in whichever of its two modes and chips is best:",
            "",
            *(f"* {line}" for line in missed),
        ]
    )


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    head = [f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in lines), ""])


def draw(path: str | os.PathLike[str], rows: Sequence[Row], macs: dict[str, int]) -> None:
    """A column for each network: traffic above, how busy the array is below, one line for each tool."""
    named = list(dict.fromkeys(row.network for row in rows if row.cycles is not None))
    title = "DRAM traffic and use of the array by the size of the SRAM"
    figure = style.new_figure(max(8.0, 3.6 * len(named) + 1.0), 7.0, title)
    axes = figure.subplots(2, len(named), squeeze=False, sharex=True)
    for column, network in enumerate(named):
        here = [row for row in rows if row.network == network and row.cycles is not None and row.fits]
        above, below = axes[0][column], axes[1][column]
        style.describe(above, network, "", "" if column else "DRAM, MB")
        style.describe(below, "", "SRAM", "" if column else "MACs done of those possible, %")
        _lines(above, here, [(row.dram_bytes or 0) / 1e6 for row in here])
        _lines(below, here, [100 * busy(row, macs[network]) for row in here])
    style.legend_below(figure, axes[0][0], 3)
    style.write_figure(figure, path)


def _lines(axes: Axes, rows: Sequence[Row], values: Sequence[float]) -> None:
    """One for each tool, over the sizes of SRAM, which are as far from each other as the next."""
    sizes = sorted({row.sram_bytes for row in rows})
    for tool in dict.fromkeys(row.tool for row in rows):
        found = {row.sram_bytes: value for row, value in zip(rows, values, strict=True) if row.tool == tool}
        colour, mark, dashes = look(tool)
        x = [sizes.index(size) for size in sorted(found)]
        y = [found[size] for size in sorted(found)]
        axes.plot(x, y, mark, linestyle=dashes, color=colour, markersize=5, label=tool)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(sizes)), [style.binary_bytes(size) for size in sizes])
