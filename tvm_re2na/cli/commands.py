"""What each command does: options in, `Result` out. Every output file is written whole, or not at all."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from tvm_re2na import pipeline, plot
from tvm_re2na.cli import images, inputs, outputs, render
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.knobs import chosen_knobs
from tvm_re2na.cli.output import Result, progress_bar
from tvm_re2na.cli.render_opinion import judged_table, opinion_text
from tvm_re2na.cli.render_widths import widths_lines, widths_table
from tvm_re2na.cli.viewers import check_viewers, write_viewers
from tvm_re2na.cli.workers import workers
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import MISSING_PACKAGE, WORKERS_LOST, CompileError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.codegen.offload.explanation import next_step
from tvm_re2na.codegen.program import Program
from tvm_re2na.comparison_rows import percent, traffic_facts
from tvm_re2na.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

    from tvm_re2na.doctor import Finding
    from tvm_re2na.frontends.interface import Compiled
    from tvm_re2na.mixed import WidthSearch
    from tvm_re2na.opinion import SecondOpinion
    from tvm_re2na.quantize import QuantizedModel


def quantize(options: argparse.Namespace) -> Result:
    """Float ONNX -> int8 ONNX."""
    output = outputs.output_path(options, f"{pipeline.model_stem(options.model)}.int8.onnx")
    model = inputs.load_model(options)
    if pipeline.is_quantized(model):
        raise UsageError(f"{options.model}: is quantised already")
    with progress_bar() as progress:
        if options.search_widths is None:
            known = images.calibration(options, model)
            quantized, widths = pipeline.quantize(model, known, _arch(options), progress, chosen_knobs(options)), None
        else:
            quantized, widths = _search_widths(options, model, progress)
    source = outputs.source_of(options.model, model)
    outputs.note_source(quantized.model, source)
    outputs.warn_of_another(options, output, source)
    write_atomically(output, quantized.model.SerializeToString())
    data = {"model": str(output), "bytes": output.stat().st_size, **quantized.report.to_json()}
    lines = (*render.output_lines(quantized.report), f"wrote {output} ({data['bytes']:,} bytes)")
    data["widths"] = None if widths is None else widths.to_json()
    front: tuple[Table | str, ...] = () if widths is None else (widths_table(widths), *widths_lines(widths))
    return Result(data, (render.accumulator_table(quantized.report), *front, *lines))


def _search_widths(
    options: argparse.Namespace, model: onnx.ModelProto, progress: Progress
) -> tuple[QuantizedModel, WidthSearch]:
    from tvm_re2na.mixed import search_widths
    from tvm_re2na.preprocessing import store

    known = images.needed_calibration(options, model, "a search for widths")
    known.expect_shape(pipeline.sample_of(model))
    made, found = search_widths(model, known, options.search_widths, _arch(options), chosen_knobs(options), progress)
    store(made.model, known.preprocessing)
    return made, found


def compile_model(options: argparse.Namespace) -> Result:
    """ONNX -> .re2na, with the report on its layers."""
    from tvm_re2na.runtime.network_traffic import network_traffic
    from tvm_re2na.runtime.report import compile_report

    output = outputs.output_path(options, f"{pipeline.model_stem(options.model)}.re2na")
    outputs.check_figure(options.plot)
    with progress_bar() as progress:
        model, mod, params = _imported(options, progress)
        compiled = pipeline.compile_for_re2na(mod, params, _arch(options), _dump(options))
    if not compiled.programs:
        raise CompileError(_nothing_offloaded(options, mod, params))
    programs = [program for _, program in compiled.programs] if model is None else _with_scales(compiled, model)
    paths = outputs.numbered(output, len(programs))
    source = outputs.source_of(options.model, model)
    outputs.warn_of_another(options, paths[0], source)
    programs = outputs.with_source(programs, source)
    outputs.write_all({path: program.to_bytes() for path, program in zip(paths, programs, strict=True)})
    names = [str(path) for path in paths]
    report = compile_report(programs, compiled.border_bytes)
    data = {"program": names[0] if len(names) == 1 else names, **report}
    data["offloaded_macs_share"] = compiled.offloaded_macs_share
    facts = {
        "written": outputs.first_and_last(names),
        "MACs offloaded": percent(compiled.offloaded_macs_share),
        **traffic_facts(network_traffic(programs, compiled.border_bytes), report["total"]["dram_bytes"]),
        "SRAM peak": f"{report['total']['sram_peak_bytes']:,} bytes",
        "compiled in": f"{report['total']['compile_seconds']:.2f} s",
    }
    if options.plot is not None:
        on_cpu = sum(not row.offloaded for row in pipeline.explain(mod, params, _arch(options)))
        plot.report_figure(report, options.plot, pipeline.model_stem(options.model), on_cpu)
    tables: tuple[Table, ...] = (render.causes_table(data), render.energy_table(data)) if options.report else ()
    if options.report:
        facts |= render.cost_facts(report["total"])
    tables = (render.layer_table(data), *tables, render.facts_table("Program", facts))
    return Result(data, (*tables, *outputs.written(options.plot)))


def _nothing_offloaded(options: argparse.Namespace, mod: Any, params: dict[str, Any]) -> str:
    rows = pipeline.explain(mod, params, _arch(options))
    step = _next_step(options, (row.rule for row in rows))
    return "; ".join((f"{options.model}: no operator can be offloaded", "`re2na explain` says why", *step))


def _next_step(options: argparse.Namespace, broken: Iterable[str | None]) -> tuple[str, ...]:
    """What mends the model's scales, if they keep operators on the CPU: one line, or none."""
    step = "" if pipeline.is_tflite(options.model) else next_step(broken, str(options.model))
    return (step,) if step else ()


def run(options: argparse.Namespace) -> Result:
    """A program on the simulator."""
    from tvm_re2na.simulation import simulate
    from tvm_re2na.trace_file import check_trace, write_trace

    for path in (options.output, options.trace):
        outputs.check_writable(path)
    if options.trace is not None:
        check_trace(options.trace)
    program = Program.open(options.program)
    with workers(options) as known, progress_bar() as progress:
        known |= {"preprocessing": images.preprocessing(options), "threads": options.threads, "progress": progress}
        found = simulate(program, options.data, options.limit, **known)
    if options.output is not None:
        write_atomically(options.output, found.to_npz())
    if options.trace is not None:
        write_trace(program, options.trace, options.program.stem)
    data = {"program": str(options.program), **found.figures}
    table = render.facts_table("Run on the simulator", render.run_facts(data))
    return Result(data, (table, *outputs.written(options.output, options.trace)))


def check(options: argparse.Namespace) -> Result:
    """A program's rules, timing and tokens; nothing is run."""
    from tvm_re2na.cli.check import check_program

    data = {"program": str(options.program), **check_program(options.program)}
    return Result(data, (render.facts_table("Checked without data", render.check_facts(data)),))


def compare(options: argparse.Namespace) -> Result:
    """Float, int8 CPU and Re²Na side by side; exit code 1 if the last two differ in a bit, or ONNX Runtime has another opinion."""
    title = f"{options.model.name} on {options.data.name}"
    return _compare(options, title, inputs.load_model(options), options.data, options.batch)


def explain(options: argparse.Namespace) -> Result:
    """Every operator, with where it runs and why."""
    for name in () if options.check else ("data", "check_images"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')}: is for --check, which is not given")
    check_viewers(options)
    with progress_bar() as progress:
        model, mod, params = _imported(options, progress)
        operators = pipeline.explain(mod, params, _arch(options))
        files = write_viewers(options, model, (mod, params), operators, _arch(options))
        opinion = _second_opinion(options, model, progress) if options.check else None
    rows = [dataclasses.asdict(row) for row in operators]
    table = render.explanation_table(rows)
    regions = render.regions_line(rows)
    step = _next_step(options, (row["rule"] for row in rows))
    if opinion is None:
        return Result(rows, (table, regions, *step, *files))
    judged = judged_table(opinion.operators, "TVM's integers held against ONNX Runtime")
    found = {"second_opinion": opinion.to_json(), "judged": [each.to_json() for each in opinion.operators]}
    text = (table, regions, *step, judged, *opinion_text(opinion), *files)
    return Result({"operators": rows, **found}, text, code=0 if opinion.agrees else 1)


def _second_opinion(options: argparse.Namespace, model: onnx.ModelProto | None, progress: Progress) -> SecondOpinion:
    """On the images of --data, else those of --calibration, else on noise."""
    from tvm_re2na.opinion import second_opinion
    from tvm_re2na.opinion.opinion import random_images

    if model is None:
        raise UsageError(f"{options.model}: --check takes ONNX, this is a TFLite model")
    count = _check_images(options)
    if not count:
        raise UsageError("--check-images: 0, --check needs at least one")
    known = images.calibration(options, model)
    if options.data is not None:
        known = pipeline.images_for(options.data, model, known, count, images.preprocessing(options))
    some = random_images(model, count) if known is None else known.read(0, min(count, len(known)))
    return second_opinion(model, some, progress)


def _check_images(options: argparse.Namespace) -> int:
    from tvm_re2na.opinion.opinion import IMAGES

    given: int | None = getattr(options, "check_images", None)  # `demo` has no such option
    return IMAGES if given is None else given


def explore(options: argparse.Namespace) -> Result:
    """A grid of machines: a table, a CSV file and the Pareto front."""
    from tvm_re2na.exploration.run import explore as sweep_machines
    from tvm_re2na.exploration.sweep import make_grid, parse_sweep

    sweep, arch = parse_sweep(options.sweep), _arch(options)
    make_grid(sweep, arch)  # a bad sweep is told at once, not after the model has been quantised
    outputs.check_figure(options.plot)
    outputs.check_writable(options.csv)
    heat_maps = [(column, Path(file)) for column, file in options.heat]
    for column, file in heat_maps:
        outputs.check_figure(file)
        plot.check_heat(column, {field: len(values) for field, values in sweep.items()})
    with workers(options, jobs=None) as known, progress_bar() as progress:
        progress("read", 0, 1)
        model = inputs.load_model(options)
        progress("read", 1, 1)
        known |= {"arch": arch, "calibration": images.calibration(options, model), "batch": options.batch}
        known |= {"prune": options.prune}
        found = sweep_machines(model, sweep, progress=progress, **known)
    table = render.exploration_table(found)
    if found.lost:  # a file is replaced by a whole one only
        told = f"workers were lost with {found.lost} of {len(found.rows)} machines: no file was written"
        print(f"re2na: error: {told}", file=sys.stderr)
        return Result(found.to_json(), (table,), code=WORKERS_LOST)
    if options.csv is not None:
        write_atomically(options.csv, found.to_csv().encode())
    if options.plot is not None:
        plot.exploration_figure(found.rows, found.fields, options.plot, pipeline.model_stem(options.model), arch)
    for column, file in heat_maps:
        plot.heat_figure(found.rows, found.fields, column, file, pipeline.model_stem(options.model))
    files = (options.csv, options.plot, *(file for _, file in heat_maps))
    return Result(found.to_json(), (table, *outputs.written(*files)))


def disasm(options: argparse.Namespace) -> Result:
    """A program's instructions as text, to stdout or into a file."""
    from tvm_re2na.listing import listing, rows

    outputs.check_writable(options.output)
    program = Program.open(options.program)
    text = listing(program)
    data = {"program": str(options.program), "instructions": rows(program)}
    if options.output is None:
        return Result(data, (text,))
    write_atomically(options.output, text.encode())
    return Result(data, outputs.written(options.output))


def doctor(options: argparse.Namespace) -> Result:
    """What is installed, what works, and what mends the rest; exit code 4 where something is broken or TVM is missing."""
    from tvm_re2na.doctor import clear_cache, examine, is_well

    if options.clear_cache:
        return _findings([clear_cache()])
    if sys.modules.get("torch") is None:  # `main` has hidden it
        sys.modules.pop("torch", None)
    with progress_bar() as progress:
        findings = examine(progress)
    return _findings(findings, code=0 if is_well(findings) else MISSING_PACKAGE)


def _findings(findings: list[Finding], code: int = 0) -> Result:
    rows = [{**dataclasses.asdict(finding), "state": finding.state.value} for finding in findings]
    return Result(rows, (render.doctor_table(rows),), code)


def demo(options: argparse.Namespace) -> Result:
    """`compare` on the model and the images that come with the package."""
    with resources.as_file(resources.files("tvm_re2na") / "demo") as folder:
        options.calibration, options.calibration_limit = folder / "mnist_calibration128.npz", None
        title = "LeNet-5 on MNIST test images"
        model = pipeline.load_model(folder / "lenet5_mnist.onnx")
        return _compare(options, title, model, folder / "mnist_test1000.npz", batch=1)


def _compare(options: argparse.Namespace, title: str, model: onnx.ModelProto, data: Path, batch: int) -> Result:
    from tvm_re2na import evaluate

    calibration = images.calibration(options, model)
    test = images.labelled_images(options, data, model, calibration)
    with workers(options) as known, progress_bar() as progress:
        known |= {"threads": getattr(options, "threads", None), "batch": batch, "progress": progress}
        known |= {"opinion_images": _check_images(options)}
        result = evaluate.compare(model, test, calibration, _arch(options), **known)
    table = render.comparison_table(result, f"{title} ({result.images:,} images)")
    scores = pipeline.scores_name(model)
    told = (f"accuracy is that of output '{scores}'",) if len(model.graph.output) > 1 else ()
    nothing = () if result.offloaded_macs_share else ("nothing is offloaded that multiplies; `re2na explain` says why",)
    well = result.bit_identical and (result.second_opinion is None or result.second_opinion.agrees)
    shown = (table, *told, *opinion_text(result.second_opinion), *nothing)
    return Result({**result.to_json(), "scores": scores}, shown, code=0 if well else 1)


def _imported(options: argparse.Namespace, progress: Progress) -> tuple[onnx.ModelProto | None, Any, dict[str, Any]]:
    """The quantised ONNX model, None of a TFLite one, and what TVM makes of it."""
    if pipeline.is_tflite(options.model):
        inputs.refuse_for_tflite(options)
        return None, *pipeline.import_tflite(options.model)
    quantized = _quantized(inputs.load_model(options), options, progress)
    return quantized, *pipeline.import_into_tvm(quantized, options.batch)


def _quantized(model: onnx.ModelProto, options: argparse.Namespace, progress: Progress) -> onnx.ModelProto:
    return pipeline.quantized_model(model, images.calibration(options, model), _arch(options), progress)


def _arch(options: argparse.Namespace) -> Architecture:
    return Architecture.from_toml(options.arch) if options.arch else Architecture()


def _dump(options: argparse.Namespace) -> Callable[[str, str], None] | None:
    if options.dump_after is None:
        return None

    def dump(name: str, text: str) -> None:
        if name == options.dump_after:
            print(f"== after {name}\n{text}", file=sys.stderr)

    return dump


def _with_scales(compiled: Compiled, model: onnx.ModelProto) -> list[Program]:
    """The programs; that of a network which is offloaded as a whole learns the scales of the network's border."""
    programs = [program for _, program in compiled.programs]
    feeds = [index for index in compiled.feeds[0] if index is not None]
    if len(programs) > 1 or compiled.offloaded_macs_share < 1 or len(feeds) < len(programs[0].inputs):
        return programs
    return [dataclasses.replace(programs[0], meta=programs[0].meta | pipeline.border_notes(model, feeds))]
