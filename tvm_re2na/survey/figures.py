"""The surveys as figures (extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from tvm_re2na.plot import new_figure, write_figure
from tvm_re2na.survey.bits import BitsSurvey
from tvm_re2na.survey.carry import CarrySurvey
from tvm_re2na.survey.rounding import RULES, RoundingSurvey
from tvm_re2na.survey.sensitivity import SensitivitySurvey

Path = str | os.PathLike[str]


def bits_figure(survey: BitsSurvey, path: Path) -> None:
    """Top-1 over width, float as a line."""
    known = [(row.bits, row.top1, row.top1_float) for row in survey.rows if row.top1 is not None]
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    axes.plot([bits for bits, _, _ in known], [top1 for _, top1, _ in known], "o-", label="Re²Na")
    for _, _, top1 in known[:1]:
        axes.axhline(top1 or 0.0, color="gray", linestyle="--", label="float")
    _finish(axes, "bits of weights and activations", "top-1")
    write_figure(figure, path)


def carry_figure(survey: CarrySurvey, path: Path) -> None:
    """Carry bits of the layers, and the share of sums that overflow over the accumulator's width."""
    figure = new_figure(9, 7)
    layers, widths = figure.subplots(2, 1)
    positions = range(len(survey.rows))
    sides = {
        "on this accumulator": [row.carry_bits for row in survey.rows],
        "without limit": [row.carry_bits_free for row in survey.rows],
        "PyParch's rule": [row.carry_bits_largest for row in survey.rows],
    }
    for index, (label, values) in enumerate(sides.items()):
        layers.bar([position + 0.27 * (index - 1) for position in positions], values, 0.25, label=label)
    layers.set_xticks(list(positions), [row.layer for row in survey.rows], fontsize=7, rotation=30)
    _finish(layers, "", "carry bits")
    bits = [row.acc_bits for row in survey.accumulators]
    widths.plot(bits, [row.share for row in survey.accumulators], "o-", label="share of sums that overflow")
    widths.plot(bits, [row.top1 for row in survey.accumulators], "s-", label="top-1, scales without limit")
    widths.plot(bits, [row.top1_chosen for row in survey.accumulators], "^-", label="top-1, scales for this width")
    _finish(widths, "bits of the accumulator", "share")
    write_figure(figure, path)


def rounding_figure(survey: RoundingSurvey, path: Path) -> None:
    """Top-1 over width for both roundings, one panel per rule."""
    figure = new_figure(9, 4)
    for axes, rule in zip(figure.subplots(1, len(RULES), sharey=True), RULES, strict=True):
        rows = [row for row in survey.rows if row.rule == rule]
        for label, name in (("add 0.5", "half_up"), ("none", "truncate"), ("none, corrected biases", "corrected")):
            axes.plot([row.bits for row in rows], [getattr(row, name) for row in rows], "o-", label=label)
        axes.set_title(f"scales: {rule}")
        _finish(axes, "bits", "top-1")
    write_figure(figure, path)


def sensitivity_figure(survey: SensitivitySurvey, path: Path) -> None:
    """Signal over noise: of each layer's result, and of the output with the layer alone or left out."""
    figure = new_figure(9, 2 + 0.3 * len(survey.rows))
    axes = figure.add_subplot()
    positions = range(len(survey.rows))
    _marks(axes, positions, [row.snr_db for row in survey.rows], "o", "the layer's own result")
    _marks(axes, positions, [row.alone_snr_db for row in survey.rows], "s", "output, only this layer quantised")
    _marks(axes, positions, [row.without_snr_db for row in survey.rows], "^", "output, all but this layer quantised")
    axes.axvline(survey.snr_db, color="gray", linestyle="--", label="output, all layers quantised")
    axes.set_yticks(list(positions), [row.layer for row in survey.rows], fontsize=7)
    axes.invert_yaxis()
    _finish(axes, "signal over noise in dB", "")
    write_figure(figure, path)


FIGURES: dict[str, Callable[[Any, Path], None]] = {
    "bits": bits_figure,
    "carry": carry_figure,
    "rounding": rounding_figure,
    "sensitivity": sensitivity_figure,
}


def _marks(axes: Any, positions: Sequence[int], values: Sequence[float], mark: str, label: str) -> None:
    axes.plot(values, positions, mark, label=label)


def _finish(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
