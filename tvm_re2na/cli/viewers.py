"""The files that `re2na explain` writes for other viewers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from tvm_re2na import pipeline
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.outputs import check_writable, write_all, written
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation


def check_viewers(options: argparse.Namespace) -> None:
    """Before the work starts."""
    for name in ("model_explorer", "annotate"):
        path: Path | None = getattr(options, name)
        if path is not None and pipeline.is_tflite(options.model):
            raise UsageError(f"--{name.replace('_', '-')}: takes ONNX, {options.model} is a TFLite model")
        check_writable(path)


def write_viewers(
    options: argparse.Namespace,
    model: onnx.ModelProto | None,
    imported: tuple[Any, dict[str, Any]],
    operators: Sequence[Explanation],
    arch: Architecture,
) -> tuple[str, ...]:
    """What was written, a line each; none where no file was asked for."""
    if model is None or (options.model_explorer is None and options.annotate is None):
        return ()
    from tvm_re2na.reporting.viewers import annotated, node_data
    from tvm_re2na.runtime.report import compile_report

    programs = [program for _, program in pipeline.compile_for_re2na(*imported, arch).programs]
    costs = compile_report(programs)["layers"]
    files: dict[Path, bytes] = {}
    if options.model_explorer is not None:
        places, cycles = node_data(model, operators, costs)
        files |= {options.model_explorer: places, options.model_explorer.with_suffix(".cycles.json"): cycles}
    if options.annotate is not None:
        files[options.annotate] = annotated(model, operators, costs).SerializeToString()
    write_all(files)
    return written(*files)
