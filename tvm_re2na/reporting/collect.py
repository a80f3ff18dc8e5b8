"""The one step that finds everything a report shows: quantise, compare, explain, compile."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from tvm_re2na import evaluate, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataSource
from tvm_re2na.dataset import Dataset
from tvm_re2na.identity import versions
from tvm_re2na.model_file import ModelSource
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.preprocessing import Preprocessing, show
from tvm_re2na.progress import Progress, shown
from tvm_re2na.reporting.assemble import Findings, assemble
from tvm_re2na.reporting.document import RunReport
from tvm_re2na.reporting.page import check_library, run_page, save
from tvm_re2na.reporting.reading import read_survey
from tvm_re2na.reporting.wiring import wires_of


def report(
    model: ModelSource,
    data: DataSource,
    calibration: DataSource | None = None,
    arch: Architecture | None = None,
    *,
    input_shape: InputShape | None = None,
    preprocessing: Preprocessing | None = None,
    batch: int = 1,
    survey: str | os.PathLike[str] | None = None,
    page: str | os.PathLike[str] | None = None,
    title: str | None = None,
    data_title: str | None = None,
    command: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RunReport:
    """Everything that is known of a model's run on Re²Na; `page`: the file of HTML to draw it in (docs/report.md).

    Arguments are those of `compare`, further ones (`limit`, `jobs`, ...) among them. `survey`: a file of `survey bits --json`.
    `title`, `data_title`: by default the names of the files. `command`: what somebody typed, for the page to tell; by
    default it tells of this call. Raises as `compare`, ReportError where `survey` is no survey, and MissingPackageError where
    plotly is, for `page`, not installed.
    """
    if page is not None:
        check_library()
    arch, widths = arch or Architecture(), () if survey is None else read_survey(survey)
    proto = pipeline.opened(model, input_shape)
    known = pipeline.calibration_if_any(calibration, proto, None, preprocessing)
    with shown(progress) as bar:
        chosen = None if pipeline.is_quantized(proto) else pipeline.quantize(proto, known, arch, bar)
        quantized = proto if chosen is None else chosen.model
        common: dict[str, Any] = {"preprocessing": preprocessing, "batch": batch, "progress": bar, **options}
        compared = evaluate.compare(proto, data, known, arch, quantized=quantized, **common)
        mod, params = pipeline.import_into_tvm(quantized, batch)
        operators = pipeline.explain(mod, params, arch)
        compiled = pipeline.compile_for_re2na(mod, params, arch)
    found = assemble(
        Findings(
            title=title or _name(model, proto.graph.name),
            data=data_title or _name(data, "images"),
            batch=batch,
            given_quantized=chosen is None,
            comparison=compared.to_json(),
            operators=operators,
            wires=wires_of(quantized, operators, batch),
            programs=[program for _, program in compiled.programs],
            border_bytes=compiled.border_bytes,
            offloaded_macs_share=compiled.offloaded_macs_share,
            arch=arch,
            versions=versions().split(", "),
            quantisation=None if chosen is None else chosen.report,
            widths=widths,
            made=_made(command, known, {"batch": batch, "survey": survey} | _pixels(preprocessing) | options),
        )
    )
    if page is not None:
        save(run_page(found), page)
    return found


def _made(command: str | None, calibration: Dataset | None, options: dict[str, Any]) -> dict[str, str]:
    """In words, for whoever gets the page; options that say nothing are left out."""
    told = {"call": "tvm_re2na.report(...)"} if command is None else {"command": command}
    told["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    if calibration is not None:
        told["calibration"] = f"{_name(calibration.source, 'images')}, {len(calibration):,} images"
    known = {
        name: value for name, value in options.items() if isinstance(value, str | int | float | tuple | os.PathLike)
    }
    return told | {name.replace("_", " "): str(value) for name, value in known.items()}


def _pixels(preprocessing: Preprocessing | None) -> dict[str, str]:
    fields = {} if preprocessing is None else vars(preprocessing)
    return {name: show(value) for name, value in fields.items() if value is not None}


def _name(source: Any, otherwise: str) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else otherwise
