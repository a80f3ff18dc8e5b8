"""`re2na debug`: float, ONNX Runtime, TVM's CPU and Re²Na side by side, operator by operator."""

from __future__ import annotations

import argparse

from tvm_re2na import pipeline
from tvm_re2na.cli import images, inputs, outputs
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.cli.render_debug import debug_lines, debug_table, worst_table
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.debugging.figure import debug_figure
from tvm_re2na.debugging.kept import Dump
from tvm_re2na.debugging.run import IMAGES, debug


def run(options: argparse.Namespace) -> Result:
    """Exit code 1 where two sides part by more than ties."""
    outputs.check_figure(options.plot)
    model = inputs.load_model(options)
    quantized = pipeline.is_quantized(model)
    if options.float is not None and not quantized:
        raise UsageError(f"--float: is for a quantised model; {options.model} is the float model itself")
    given = None if options.float is None else pipeline.load_model(options.float)
    known = images.calibration(options, model)
    dump = None if options.dump is None else Dump(options.dump)
    with progress_bar() as progress:
        found = debug(
            model,
            options.data,
            known,
            Architecture.from_toml(options.arch) if options.arch else None,
            float_model=given,
            limit=IMAGES if options.limit is None else options.limit,
            preprocessing=images.preprocessing(options),
            worst=options.images,
            dump=dump,
            progress=progress,
        )
    if options.plot is not None:
        debug_figure(found, options.plot, pipeline.model_stem(options.model))
    tables = (debug_table(found), *((worst_table(found.worst),) if found.worst else ()))
    hint = () if given is not None or not quantized else ("--float FLOAT.onnx holds it against the float model",)
    written = () if dump is None else (f"wrote {len(found.operators)} files into {dump.folder}",)
    text = (*tables, *debug_lines(found), *hint, *written, *outputs.written(options.plot))
    return Result(found.to_json(), text, code=0 if found.agrees else 1)
