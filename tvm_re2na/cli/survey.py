"""`re2na survey`: what accuracy costs and where, as a table, a figure and JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.table import Table

from tvm_re2na.cli import images, inputs, render_survey
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.cli.outputs import check_figure, written
from tvm_re2na.cli.workers import workers
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.pipeline import model_stem
from tvm_re2na.survey import Workers, figures, survey_bits, survey_carry, survey_rounding, survey_sensitivity

SURVEYS: dict[str, Callable[..., Any]] = {
    "bits": survey_bits,
    "carry": survey_carry,
    "rounding": survey_rounding,
    "sensitivity": survey_sensitivity,
}
TABLES: dict[str, Callable[[Any], tuple[Table | str, ...]]] = {
    "bits": render_survey.bits,
    "carry": render_survey.carry,
    "rounding": render_survey.rounding,
    "sensitivity": render_survey.sensitivity,
}
WIDTH_KINDS = ("bits", "rounding")


def survey(options: argparse.Namespace) -> Result:
    """One survey of a float model."""
    check_figure(options.plot)
    if options.bits is not None and options.kind not in WIDTH_KINDS:
        raise UsageError(f"--bits: `survey {options.kind}` has no widths; {' and '.join(WIDTH_KINDS)} have")
    model = inputs.load_model(options)
    calibration = images.needed_calibration(options, model, "a survey")
    test = images.labelled_images(options, options.data, model, calibration)
    known: dict[str, Any] = {"arch": Architecture.from_toml(options.arch) if options.arch else None}
    if options.bits is not None:
        known["widths"] = options.bits
    with workers(options) as engine, progress_bar() as progress:
        known |= {"progress": progress, "workers": Workers(**engine)}
        found = SURVEYS[options.kind](model, test, calibration, **known)
    if options.plot is not None:
        figures.FIGURES[options.kind](found, options.plot, model_stem(options.model))
    return Result(found.to_json(), (*TABLES[options.kind](found), *written(options.plot)))
