"""`re2na requantize`: a pre-quantised model quantised again with power-of-two scales, what changed and what it costs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from rich.table import Table

from tvm_re2na import pipeline
from tvm_re2na.cli import images, inputs, outputs
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.cli.render import facts_table
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.comparison_rows import percent
from tvm_re2na.preprocessing import store
from tvm_re2na.prequantized import RequantizationCost, RequantizationReport, TensorChange
from tvm_re2na.prequantized.report import EncodingSummary

ROWS = 40  # of the table; --json has them all


def requantize(options: argparse.Namespace) -> Result:
    """A quantised ONNX file -> the re-quantised one; a model that is exact already is not written again."""
    from tvm_re2na.prequantized import requantize as requantize_model
    from tvm_re2na.prequantized.requantize import measure

    output = outputs.output_path(options, f"{pipeline.model_stem(options.model)}.requantized.onnx")
    model = inputs.load_model(options)
    if not pipeline.is_quantized(model):
        raise UsageError(f"{options.model}: is no quantised model; `re2na quantize` takes float models")
    calibration = images.needed_calibration(options, model, "re-quantising")
    calibration.expect_shape(pipeline.sample_of(model))
    data = images.labelled_images(options, options.data, model, calibration) if options.data else calibration
    data.expect_labels(pipeline.classes(model))  # the cost counts calibration's, too
    arch = Architecture.from_toml(options.arch) if options.arch else Architecture()
    with progress_bar() as progress:
        made = requantize_model(model, calibration.x, arch=arch, progress=progress)
        made = measure(model, made, data, progress)
    if not made.report.exact:
        store(made.model, calibration.preprocessing)
        source = outputs.source_of(options.model, model)
        outputs.note_source(made.model, source)
        outputs.warn_of_another(options, output, source)
    return _result(options.model, output, made.model, made.report)


def _result(source: Path, output: Path, model: onnx.ModelProto, report: RequantizationReport) -> Result:
    data = {"model": str(source if report.exact else output), "written": not report.exact, **report.to_json()}
    if report.exact:
        return Result(data, (f"{source}: exact on this machine as it is; nothing was changed, nothing written",))
    write_atomically(output, model.SerializeToString())
    items = [changes_table(report.changes)]
    if report.cost is not None:
        items.append(facts_table("What it costs (ONNX Runtime)", dict(_cost_facts(report.cost))))
    why = [f"its numbers were exact, but sums overflowed: {', '.join(report.overflowing)}"] * bool(report.overflowing)
    return Result(data, (*items, *why, f"wrote {output} ({output.stat().st_size:,} bytes)"))


def changes_table(changes: tuple[TensorChange, ...]) -> Table:
    """One line per tensor that is quantised otherwise; of long lists the beginning."""
    table = Table(title=f"Tensors quantised otherwise ({len(changes)})", title_justify="left")
    for name in ("tensor", "role", "given", "re-quantised"):
        table.add_column(name, overflow="fold")
    for change in changes[:ROWS]:
        table.add_row(change.name, change.role, _form(change.before), _form(change.after))
    if len(changes) > ROWS:
        table.add_row(f"... {len(changes) - ROWS} more (--json)", "", "", "")
    return table


def _form(form: EncodingSummary | None) -> str:
    if form is None:
        return "not quantised"
    scale = "..".join(_scale(value) for value in dict.fromkeys(form.scale))
    zero = "..".join(str(value) for value in dict.fromkeys(form.zero))
    return f"{form.kind}, scale {scale}, zero {zero}{', per channel' if form.per_channel else ''}"


def _scale(value: float) -> str:
    mantissa, exponent = math.frexp(value)
    return f"2**{exponent - 1}" if mantissa == 0.5 else f"{value:.4g}"


def _cost_facts(cost: RequantizationCost) -> Iterator[tuple[str, str]]:
    yield "images", f"{cost.images:,}"
    yield "same class", percent(cost.agreement)
    yield "signal to noise of the outputs", "no difference" if cost.snr_db is None else f"{cost.snr_db:.1f} dB"
    yield "top-1 of the given model", percent(cost.given_top1)
    yield "top-1 of the re-quantised model", percent(cost.requantized_top1)
