"""Surveys as tables for people."""

from __future__ import annotations

from rich.table import Table

from tvm_re2na.comparison_rows import percent
from tvm_re2na.survey import BitsSurvey, CarrySurvey, RoundingSurvey, SensitivitySurvey

CARRY_NOTE = """\
carry bits: what the largest sum on the calibration images takes beyond the 2b - 1 bits of one product. `free`: the same network
with scales that an accumulator without limit allows; `PyParch's rule`: with scales from the largest value. The layers differ
because of their weights: no sum exceeds the L1 norm of an output's weights times the largest input (`worst case`), and it comes
near only where the products have one sign. Other weights have other carry bits: those of
the hardware group's LeNet-5 take 1, 2, 3, 1, 1."""


def bits(survey: BitsSurvey) -> tuple[Table | str, ...]:
    table = _table("Accuracy against width", "bits", "top-1", "float", "change", "same class", "SNR dB", "overflows")
    for row in survey.rows:
        if row.error is not None:
            table.add_row(str(row.bits), row.error)
            continue
        shares = percent(row.top1), percent(row.top1_float), points(row.top1, row.top1_float), percent(row.agreement)
        table.add_row(str(row.bits), *shares, f"{row.snr_db:.1f}", f"{row.overflows:,}")
    return (table,)


def carry(survey: CarrySurvey) -> tuple[Table | str, ...]:
    names = ("carry bits", "free", "PyParch's rule", "observed max", "worst case", "headroom", "additions", "L1 norm")
    layers = _table("Carry bits", "layer", *names)
    for row in survey.rows:
        needs = row.carry_bits, row.carry_bits_free, row.carry_bits_largest
        sums = f"{row.observed_max:,}", f"{row.worst_case:,}", f"{row.headroom:.2f}"
        layers.add_row(row.layer, *map(str, needs), *sums, f"{row.additions:,}", f"{row.l1_norm:,}")
    title = "Overflows against the accumulator's width: scales for one without limit | scales for it"
    widths = _table(title, "bits", "overflows", "share of sums", "top-1", "| overflows", "top-1")
    for width in survey.accumulators:
        free = f"{width.overflows:,}", f"{100 * width.share:.4f} %", percent(width.top1)
        widths.add_row(str(width.acc_bits), *free, f"{width.overflows_chosen:,}", percent(width.top1_chosen))
    return layers, CARRY_NOTE, widths


def rounding(survey: RoundingSurvey) -> tuple[Table | str, ...]:
    title = f"Rounding before the cut (float {percent(survey.top1_float)})"
    table = _table(title, "scales", "bits", "add 0.5", "none", "none, corrected biases", "overflows")
    for row in survey.rows:
        shares = map(percent, (row.half_up, row.truncate, row.corrected))
        table.add_row(row.rule, str(row.bits), *shares, f"{row.overflows:,}")
    return (table,)


def sensitivity(survey: SensitivitySurvey) -> tuple[Table | str, ...]:
    title = f"Layers (float {percent(survey.top1_float)}, all quantised {percent(survey.top1)}, {survey.snr_db:.1f} dB)"
    others = ("alone: top-1", "alone: SNR dB", "all but it: top-1", "all but it: SNR dB")
    table = _table(title, "layer", "SNR dB", *others)
    for row in survey.rows:
        alone = percent(row.alone_top1), f"{row.alone_snr_db:.1f}"
        without = percent(row.without_top1), f"{row.without_snr_db:.1f}"
        table.add_row(row.layer, f"{row.snr_db:.1f}", *alone, *without)
    return table, "partly float models run in ONNX Runtime, which rounds ties to even"


def points(value: float | None, start: float | None) -> str:
    """A change in percentage points."""
    return "-" if value is None or start is None else f"{100 * (value - start):+.2f}"


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
