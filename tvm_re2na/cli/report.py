"""`re2na report`: a page about one run, or about what differs between two."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from rich.table import Table

from tvm_re2na import pipeline, reporting
from tvm_re2na.cli import images, inputs, render
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.cli.outputs import output_path, written
from tvm_re2na.cli.workers import workers
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.reporting import Differences, RunReport
from tvm_re2na.reporting.differences import FIGURES, shown

OF_A_RUN = ("data", "calibration", "survey", "arch", "limit", "check_images", "resume", "jobs", "dask", "threads")


def report(options: argparse.Namespace) -> Result:
    """Write the page. With --json print the document it is drawn from, and write a page only where -o names one.

    Exit code 1 as of `compare`.
    """
    if _draws(options):
        reporting.check_library()
    if options.model.suffix != ".json":
        if options.other is not None:
            raise UsageError(
                f"{options.other}: a second report is held against a first one, {options.model} is a model"
            )
        output = _page_path(options, f"{pipeline.model_stem(options.model)}.report.html")
        made = _run(options)
        return _of_one(made, output, code=0 if _is_well(made) else 1)
    _refuse_for_reports(options)
    if options.other is None:
        output = _page_path(options, f"{options.model.stem}.html")
        return _of_one(reporting.read_report(options.model), output)
    output = _page_path(options, f"{options.model.stem}-{options.other.stem}.html")
    a, b = reporting.read_report(options.model), reporting.read_report(options.other)
    names = options.model.stem, options.other.stem
    if output is not None:
        reporting.save(reporting.comparison_page(a, b, names), output)
    found = reporting.differences(a, b)
    data = {"a": names[0], "b": names[1], **found.to_json()}
    return Result(data, (differences_table(found, names), *written(output)))


def _draws(options: argparse.Namespace) -> bool:
    return options.format != "json" or options.output is not None


def _page_path(options: argparse.Namespace, default: str) -> Path | None:
    return output_path(options, default) if _draws(options) else None


def _refuse_for_reports(options: argparse.Namespace) -> None:
    for name in OF_A_RUN:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')}: is for a model, {options.model} is a report")


def _run(options: argparse.Namespace) -> RunReport:
    if options.data is None:
        raise UsageError(f"{options.model}: a report needs test images (--data)")
    model = inputs.load_model(options)
    calibration = images.calibration(options, model)
    test = images.labelled_images(options, options.data, model, calibration)
    arch = Architecture.from_toml(options.arch) if options.arch else Architecture()
    known: dict[str, Any] = {"batch": options.batch, "threads": options.threads, "survey": options.survey}
    if options.check_images is not None:
        known["opinion_images"] = options.check_images
    with workers(options) as engine, progress_bar() as progress:
        known |= {"title": options.model.name, "data_title": options.data.name, "progress": progress, **engine}
        known["command"] = shlex.join(["re2na", *options.words])
        return reporting.report(model, test, calibration, arch, **known)


def _is_well(report: RunReport) -> bool:
    """As `compare` sees it."""
    opinion = report.comparison["second_opinion"]
    return bool(report.comparison["bit_identical"] and (opinion is None or opinion["agrees"]))


def _of_one(report: RunReport, output: Path | None, code: int = 0) -> Result:
    if output is not None:
        reporting.save(reporting.run_page(report), output)
    facts = {figure.name: shown(figure, figure.of(report)) for figure in FIGURES}
    table = render.facts_table(f"{report.title} on {report.data}", facts)
    return Result(report.to_json(), (table, *written(output)), code)


def differences_table(found: Differences, names: tuple[str, str]) -> Table:
    """Figures and fields of the machine that differ; a star marks the better side where one is."""
    table = Table(title="What differs (* the better one)", title_justify="left")
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    show = {figure.name: figure for figure in FIGURES}
    for item in found.figures:
        one, other = (shown(show[item.name], value) for value in (item.a, item.b))
        stars = {None: ("", ""), False: ("* ", ""), True: ("", "* ")}[item.better]
        table.add_row(item.name, f"{stars[0]}{one}", f"{stars[1]}{other}")
    table.add_section()
    for item in (*found.machine, *found.versions, *found.made):
        table.add_row(item.name, *("-" if side is None else str(side) for side in (item.a, item.b)))
    table.caption, table.caption_justify = _layers_line(found), "left"
    return table


def _layers_line(found: Differences) -> str:
    changed = sum(bool(pair.changed) for pair in found.layers)
    return f"layers that differ: {changed:,} of {len(found.layers):,}"
