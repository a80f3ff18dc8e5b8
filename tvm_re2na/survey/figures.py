"""The surveys as figures (extra `plot`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from tvm_re2na.plot import new_figure, write_figure
from tvm_re2na.plot.style import (
    BELOW,
    FLOAT,
    SIDES,
    describe,
    every,
    legend_below,
    legend_beside,
    named_rows,
    numbers,
    percentages,
    quantity,
    rows_height,
    series,
)
from tvm_re2na.survey.bits import BitsSurvey
from tvm_re2na.survey.carry import AccumulatorRow, CarrySurvey
from tvm_re2na.survey.rounding import RULES, RoundingSurvey
from tvm_re2na.survey.sensitivity import SensitivitySurvey

Path = str | os.PathLike[str]
TOP1, IMAGES = "top-1", "images with the right class"
SCALES = {"pyparch": "PyParch's rule for scales: the largest value", "searched": "scales searched for least error"}


def bits_figure(survey: BitsSurvey, path: Path, name: str = "") -> None:
    """Top-1 over width, float as a line; signal over noise beside it."""
    figure = new_figure(9, 4, "accuracy against the width of weights and activations", name)
    top1, snr = figure.subplots(1, 2)
    widths = [row.bits for row in survey.rows]
    series(top1, widths, {"Re²Na": [row.top1 for row in survey.rows]})
    known = [row.top1_float for row in survey.rows if row.top1_float is not None]
    for value in known[:1]:
        top1.axhline(value, color=FLOAT, linestyle="--", label="float")
    series(snr, widths, {"Re²Na": [row.snr_db for row in survey.rows]})
    for axes, title, unit in ((top1, IMAGES, TOP1), (snr, "the output's signal over noise", "dB")):
        describe(axes, title, "bits", unit)
        every(axes.xaxis, widths)
    percentages(top1.yaxis)
    numbers(snr.yaxis)
    snr.set_ylim(bottom=min(0, snr.get_ylim()[0]))
    legend_below(figure, top1)
    write_figure(figure, path)


def carry_figure(survey: CarrySurvey, path: Path, name: str = "") -> None:
    """Carry bits of the layers, and over the accumulator's width the share of sums that overflow and the accuracy."""
    rows = len(survey.rows)
    figure = new_figure(
        9, rows_height(2 * rows) + 3, "what sums need beyond the bits of one product (carry bits)", name
    )
    layers, shares, top1 = figure.subplots(3, 1, height_ratios=[max(2 * rows * 0.22, 1), 1.5, 1.5])
    sides = {
        "scales for this accumulator": [row.carry_bits for row in survey.rows],
        "scales for one without limit": [row.carry_bits_free for row in survey.rows],
        "PyParch's rule: scales of the largest values": [row.carry_bits_largest for row in survey.rows],
    }
    for index, (label, values) in enumerate(sides.items()):
        layers.barh([row + 0.27 * (index - 1) for row in range(rows)], values, 0.25, color=SIDES[index][0], label=label)
    describe(layers, "of each layer, on the calibration images", "carry bits", grid="x")
    numbers(layers.xaxis)
    named_rows(layers, [row.layer for row in survey.rows])
    widths, (limited, free) = [row.acc_bits for row in survey.accumulators], list(sides)[:2]
    series(
        shares,
        widths,
        {limited: [_share(row) for row in survey.accumulators], free: [row.share for row in survey.accumulators]},
    )
    series(
        top1,
        widths,
        {limited: [row.top1_chosen for row in survey.accumulators], free: [row.top1 for row in survey.accumulators]},
    )
    for axes, title, unit in ((shares, "sums that overflow", "share"), (top1, IMAGES, TOP1)):
        describe(axes, title, "bits of the accumulator", unit)
        every(axes.xaxis, widths)
        percentages(axes.yaxis)
    marks, labels = shares.get_legend_handles_labels()
    bars, words = layers.get_legend_handles_labels()
    figure.legend([*marks, *bars[len(marks) :]], [*labels, *words[len(labels) :]], **BELOW, ncols=3)
    write_figure(figure, path)


def rounding_figure(survey: RoundingSurvey, path: Path, name: str = "") -> None:
    """Top-1 over width for both roundings, one panel per rule."""
    figure = new_figure(9, 4, "what the rounding constant buys", name)
    panels = figure.subplots(1, len(RULES), sharey=True)
    for axes, rule in zip(panels, RULES, strict=True):
        rows = [row for row in survey.rows if row.rule == rule]
        ways = {"one half added": "half_up", "cut off": "truncate", "cut off, corrected biases": "corrected"}
        series(
            axes,
            [row.bits for row in rows],
            {label: [getattr(row, name) for row in rows] for label, name in ways.items()},
        )
        describe(axes, SCALES[rule], "bits", f"{TOP1}: {IMAGES}" if axes is panels[0] else "")
        every(axes.xaxis, [row.bits for row in rows])
        percentages(axes.yaxis)
    legend_below(figure, panels[0])
    write_figure(figure, path)


def sensitivity_figure(survey: SensitivitySurvey, path: Path, name: str = "") -> None:
    """Signal over noise: of each layer's result, and of the output with the layer alone or left out."""
    figure = new_figure(10, rows_height(len(survey.rows)), "which layer costs the accuracy: signal over noise", name)
    axes = figure.add_subplot()
    quantity(axes, "result_all", [row.snr_db for row in survey.rows])
    quantity(axes, "output_alone", [row.alone_snr_db for row in survey.rows])
    quantity(axes, "output_without", [row.without_snr_db for row in survey.rows])
    if math.isfinite(survey.snr_db):
        axes.axvline(survey.snr_db, color=FLOAT, linestyle="--", label="output, all operators quantised")
    describe(axes, "more is better", "dB")
    named_rows(axes, [row.layer for row in survey.rows])
    numbers(axes.xaxis)
    legend_beside(axes)
    write_figure(figure, path)


FIGURES: dict[str, Callable[[Any, Path, str], None]] = {
    "bits": bits_figure,
    "carry": carry_figure,
    "rounding": rounding_figure,
    "sensitivity": sensitivity_figure,
}


def _share(row: AccumulatorRow) -> float | None:
    """Of the sums with scales for this accumulator, those that overflow: counted beside those of the other scales."""
    if not row.overflows_chosen:
        return 0.0
    return row.share * row.overflows_chosen / row.overflows if row.overflows else None
