"""Machines of an exploration: cycles over area, the front among them joined and numbered, its machines listed beside it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.exploration.pareto import pareto_front
from tvm_re2na.exploration.sweep import NO_SHAPES
from tvm_re2na.plot import style
from tvm_re2na.plot.labels import Mark, along, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
SMALLEST, LARGEST = 50.0, 260.0  # of a mark, in square points
UNITS = {field.name: field.metadata["unit"] for field in dataclasses.fields(Architecture)}
NO_UNITS = ("", "mode", "0 or 1", "set of shapes")


def exploration_figure(
    rows: Sequence[Row],
    fields: Sequence[str],
    path: str | os.PathLike[str],
    name: str = "",
    base: Architecture | None = None,
) -> None:
    """Every machine that compiled: cycles over area, a mark's size its DRAM traffic; those on the front filled and numbered.

    `base`: what the machines are but for the swept `fields`; Re²Na's own, if it is among them, has a cross."""
    good = [row for row in rows if row["cycles"] is not None]
    front = sorted((row for row in good if row["pareto"]), key=lambda row: (row["area_mm2"], row["cycles"]))
    left_out = sum(row["pruned"] for row in rows)
    title = f"{len(good)} machines, {len(front)} of them on the Pareto front"
    title += f"; {left_out} more are beaten by their bounds" if left_out else ""
    figure = style.new_figure(10, max(4.5, 2.0 + 0.16 * len(front)), title, name)
    axes = figure.add_subplot()
    sizes = _sizes(good)
    for on_front, face in ((False, "none"), (True, style.SKY)):
        chosen = [(row, size) for row, size in zip(good, sizes, strict=True) if row["pareto"] is on_front]
        axes.scatter(
            [row["area_mm2"] for row, _ in chosen],
            [row["cycles"] for row, _ in chosen],
            s=[size for _, size in chosen],
            facecolors=face,
            edgecolors=style.MACHINE,
            zorder=3,
            label="on the front of cycles, DRAM traffic and area" if on_front else "beaten, or offloads less",
        )
    if edge := _edge(front):
        axes.plot(*zip(*edge, strict=True), color=style.MACHINE, label="fewest cycles for an area")
    _cross(axes, [row for row in good if _is_re2na(row, fields, base or Architecture())])
    style.describe(axes, _traffic(good), "area in mm² (a proxy)", "cycles for one inference")
    style.numbers(axes.yaxis)
    axes.margins(0.08)
    style.legend_below(figure, axes)
    _list(axes, front, fields)
    figure.draw_without_rendering()  # only now is it known where a mark lies
    _number(axes, front, good, sizes, edge)
    style.write_figure(figure, path)


def _sizes(rows: Sequence[Row]) -> list[float]:
    """In proportion to the DRAM bytes, from the fewest to the most."""
    traffic = [row["dram_bytes"] for row in rows]
    low, span = min(traffic, default=0), max(traffic, default=0) - min(traffic, default=0)
    return [SMALLEST + (LARGEST - SMALLEST) * (bytes_ - low) / span if span else SMALLEST for bytes_ in traffic]


def _traffic(rows: Sequence[Row]) -> str:
    traffic = [row["dram_bytes"] for row in rows]
    if not traffic:
        return "no machine could be compiled for"
    if min(traffic) == max(traffic):
        return f"all of them move {traffic[0]:,} bytes from and to the DRAM"
    return f"the size of a mark is its DRAM traffic: {min(traffic):,} to {max(traffic):,} bytes"


def _edge(front: Sequence[Row]) -> list[tuple[float, float]]:
    """Corners of a staircase through those that no machine beats in cycles and area alone; below and left of it there is none."""
    places = [(row["area_mm2"], row["cycles"]) for row in front]
    edge = sorted({place for place, kept in zip(places, pareto_front(places), strict=True) if kept})
    corners = [(after[0], before[1]) for before, after in itertools.pairwise(edge)]
    return [place for pair in itertools.zip_longest(edge, corners) for place in pair if place is not None]


def _is_re2na(row: Row, fields: Sequence[str], base: Architecture) -> bool:
    """Whether every field is as of the machine that is published."""
    ours = {name: int(getattr(Architecture(), name)) for name in UNITS}
    machine = {name: int(getattr(base, name)) for name in UNITS}
    machine |= {name: 0 if row[name] == NO_SHAPES else row[name] for name in fields}
    return machine == ours


def _cross(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        axes.plot(
            row["area_mm2"], row["cycles"], "x", color=style.BLACK, linestyle="", zorder=4, label="Re²Na as it is"
        )


def _list(axes: Axes, front: Sequence[Row], fields: Sequence[str]) -> None:
    """The machines behind the numbers."""
    lines = [
        f"{index}  {', '.join(value_text(name, row[name]) for name in fields)}" for index, row in enumerate(front, 1)
    ]
    told = ",\n    ".join(heading(name) for name in fields)
    axes.text(1.02, 1.0, "\n".join([f"    {told}", *lines]), transform=axes.transAxes, fontsize=8, va="top")


def heading(field: str) -> str:
    """With its unit, where its name does not hold it."""
    unit = UNITS.get(field, "")
    return field if unit in NO_UNITS or unit.split("/")[0].lower() in field else f"{field} ({unit})"


def value_text(field: str, value: object) -> str:
    if UNITS.get(field) == "bytes" and isinstance(value, int):
        return style.binary_bytes(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(
    axes: Axes, front: Sequence[Row], rows: Sequence[Row], sizes: Sequence[float], edge: Sequence[tuple[float, float]]
) -> None:
    """Each number beside its mark, off all marks and the line."""
    scale = 72.0 / axes.figure.dpi

    def points(place: tuple[float, float]) -> tuple[float, float]:
        x, y = axes.transData.transform(place)
        return scale * x, scale * y

    def mark(row: Row, size: float) -> Mark:
        return Mark(*points((row["area_mm2"], row["cycles"])), math.sqrt(size) / 2)

    marks = [mark(row, size) for row, size in zip(rows, sizes, strict=True)]
    of_row = {id(row): found for row, found in zip(rows, marks, strict=True)}
    at = [of_row[id(row)] for row in front]
    marks += along([points(place) for place in edge])
    places = [(row["area_mm2"], row["cycles"]) for row in front]
    write_beside(axes, [str(index) for index in range(1, len(front) + 1)], places, at, marks)
