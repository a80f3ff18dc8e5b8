"""Figures of reports, drawn with matplotlib (extra `plot`) and written whole or not at all."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.frontends import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")


class PlotError(Re2naError, ValueError):
    """A figure cannot be drawn; the message names the file and what is wrong."""


def check_format(path: str | os.PathLike[str]) -> str:
    """`png` or `svg`, from the file's name. Raises PlotError, or MissingPackageError where matplotlib is not installed."""
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise PlotError(f"{path}: a figure's name ends in .{' or .'.join(FORMATS)}, not in '{Path(path).suffix}'")
    new_figure(1, 1)
    return kind


def report_figure(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Bars of `compile_report`'s layers, one above the other: cycles stacked by cause, with the bound as a mark beside them."""
    layers = [layer for layer in report["layers"] if layer["cycles"]]
    figure = new_figure(9, 1.5 + 0.28 * len(layers))
    axes = figure.add_subplot()
    rows = range(len(layers))
    left = [0] * len(layers)
    for cause in report["total"]["causes"]:
        cycles = [layer["causes"][cause] for layer in layers]
        axes.barh(rows, cycles, left=left, label=cause.replace("_", ": "))
        left = [before + more for before, more in zip(left, cycles, strict=True)]
    axes.plot([layer["cycles_bound"] for layer in layers], rows, "k|", markersize=9, markeredgewidth=2, label="bound")
    axes.set_yticks(rows, [layer["name"] for layer in layers], fontsize=7)
    axes.margins(x=0.02, y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("cycles of one inference")
    axes.legend(fontsize=8)
    write_figure(figure, path)


def exploration_figure(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Every machine that compiled: cycles over area, the size of a mark its DRAM traffic, those on the front filled and named."""
    good = [row for row in rows if row["error"] is None]
    most = max((row["dram_bytes"] for row in good), default=0) or 1
    figure = new_figure(9, 6)
    axes = figure.add_subplot()
    for front, color in ((False, "none"), (True, "tab:blue")):
        chosen = [row for row in good if row["pareto"] is front]
        place = [row["area_mm2"] for row in chosen], [row["cycles"] for row in chosen]
        sizes = [20 + 180 * row["dram_bytes"] / most for row in chosen]
        label = "on the Pareto front" if front else "beaten, or offloads less"
        axes.scatter(*place, s=sizes, facecolors=color, edgecolors="tab:blue", label=label)
    for row in (row for row in good if row["pareto"]):
        axes.annotate(" ".join(str(row[name]) for name in fields), (row["area_mm2"], row["cycles"]), fontsize=6)
    axes.set_xlabel("area in mm2 (a proxy)")
    axes.set_ylabel("cycles of one inference")
    axes.set_title(f"{', '.join(fields)}; size of a mark: DRAM traffic", fontsize=9)
    axes.legend(fontsize=8)
    write_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches. Raises MissingPackageError where matplotlib is not installed."""
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingPackageError("matplotlib is not installed: pip install 'tvm_re2na[plot]'") from error
    figure: Figure = module.Figure(figsize=(width, height), layout="constrained")
    return figure


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """As the name says, PNG or SVG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=check_format(path), dpi=150)
    write_atomically(path, buffer.getvalue())
