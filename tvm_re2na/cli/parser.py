"""The options of every command. Each names its function, `module:function`, which is loaded when it runs: help needs none."""

from __future__ import annotations

import argparse

from tvm_re2na import __version__
from tvm_re2na.cli import arguments
from tvm_re2na.cli.commands_described import add_command
from tvm_re2na.cli.knobs import add_knobs
from tvm_re2na.cli.shared_options import (
    DATA_HELP,
    add_arch,
    add_batch,
    add_cache,
    add_check_images,
    add_comparison,
    add_data,
    add_dump,
    add_json,
    add_limit,
    add_model,
    add_output,
    add_plot,
    add_program,
    add_program_and_data,
    add_threads,
    add_verbose,
    add_workers,
)
from tvm_re2na.cli.vectors_options import add_vectors_options

EPILOG = """exit codes: 0 done; 1 done, but the outputs differ from the CPU's, or TVM's integers are not ONNX Runtime's;
2 wrong usage or unusable input; 3 the network cannot be compiled, or the program cannot be run or has a hazard; 4 an optional
package is missing (doctor: or something is broken); 5 worker processes or machines were lost, again and again; 130 interrupted;
143 terminated"""
SURVEYS = {
    "bits": "accuracy against the width of weights and activations",
    "carry": "bits that each layer's sums need beyond those of a product, and overflows against the accumulator's width",
    "rounding": "one half added before the low bits are cut off, against truncation",
    "sensitivity": "which layer costs the accuracy, and each one's signal over noise",
}
SHELLS = ("bash", "zsh", "fish", "tcsh")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="re2na", description="Quantise, compile and simulate CNNs for the Re²Na accelerator.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"re2na {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, add_options in OPTIONS.items():
        command = add_command(commands, name)
        add_options(command)
        add_verbose(command)
    return parser


def _quantize(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "a float model", "needed")
    add_knobs(parser)
    add_arch(parser)
    add_output(parser, "MODEL.int8.onnx")
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:quantize")


def _survey(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{name}: {text}" for name, text in SURVEYS.items())
    parser.add_argument("kind", choices=tuple(SURVEYS), metavar="KIND", help=kinds)
    add_model(parser, "a float model", "needed")
    add_data(parser)
    add_limit(parser)
    parser.add_argument(
        "--bits", type=arguments.widths, metavar="LIST", help="widths for bits and rounding (8,7,6,5,4,3,2)"
    )
    add_arch(parser)
    add_workers(parser)
    add_plot(parser, "the survey")
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="survey:survey")


def _requantize(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "a model that another tool has quantised", "needed")
    add_limit(parser)
    add_arch(parser)
    add_output(parser, "MODEL.requantized.onnx")
    add_json(parser)
    parser.add_argument(
        "--data",
        type=arguments.path,
        metavar="DATA",
        help="test images, to measure the cost on (the calibration images)",
    )
    parser.set_defaults(command="requantize:requantize")


def _compile(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_arch(parser)
    add_batch(parser)
    add_output(parser, "MODEL.re2na")
    add_dump(parser)
    parser.add_argument(
        "--report",
        action="store_true",
        help="also print where each layer's cycles and energy go, and its largest loss against what no schedule can beat",
    )
    add_plot(parser, "stacked bars of the cycles by cause beside the bound")
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:compile_model")


def _run(parser: argparse.ArgumentParser) -> None:
    add_program_and_data(parser)
    add_limit(parser)
    add_threads(parser, "images side by side in each process (one per processor)")
    add_workers(parser)
    parser.add_argument("--output", "-o", type=arguments.path, metavar="OUT.npz", help="write the int8 outputs")
    parser.add_argument(
        "--trace",
        type=arguments.path,
        metavar="OUT.pftrace",
        help="write the timeline of a run, for ui.perfetto.dev; .pftrace.gz: packed (needs perfetto; docs/trace.md)",
    )
    add_json(parser)
    parser.set_defaults(command="commands:run")


def _check(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    add_json(parser)
    parser.set_defaults(command="commands:check")


def _vectors(parser: argparse.ArgumentParser) -> None:
    add_program_and_data(parser)
    add_vectors_options(parser)
    add_json(parser)
    parser.set_defaults(command="vectors:vectors")


def _compare(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    add_comparison(parser)
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:compare")


def _report(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "a float model, or a quantised one; or a report that --json printed")
    parser.add_argument("other", nargs="?", type=arguments.path, metavar="B.json", help="a second report: what differs")
    parser.add_argument("--data", type=arguments.path, metavar="DATA", help=f"{DATA_HELP}; a model needs them")
    parser.add_argument(
        "--survey", type=arguments.path, metavar="SURVEY.json", help="accuracy by width, from `survey bits --json`"
    )
    add_comparison(parser)
    add_output(parser, "MODEL.report.html; with --json none")
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="report:report")


def _explain(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--check", action="store_true", help="hold every operator against ONNX Runtime (docs/cli.md)")
    parser.add_argument(
        "--data", type=arguments.path, metavar="DATA", help="images for --check (the calibration images, or noise)"
    )
    add_check_images(parser)
    parser.add_argument(
        "--model-explorer",
        type=arguments.path,
        metavar="OUT.json",
        help="write where each operator runs as node data for Model Explorer, and its cycles to OUT.cycles.json (docs/report.md)",
    )
    parser.add_argument(
        "--annotate",
        type=arguments.path,
        metavar="OUT.onnx",
        help="write the quantised model with place, reason and cycles at each node, as Netron shows them (docs/report.md)",
    )
    add_arch(parser)
    add_batch(parser)
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:explain")


def _debug(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument(
        "--float", type=arguments.path, metavar="FLOAT.onnx", help="the float model that a quantised one was made of"
    )
    parser.add_argument("--limit", type=arguments.positive, metavar="N", help="use at most N test images (8)")
    parser.add_argument(
        "--images", type=arguments.not_negative, default=0, metavar="N", help="name the N worst of them (0)"
    )
    parser.add_argument(
        "--dump", type=arguments.path, metavar="FOLDER", help="write all tensors, an .npz for each operator"
    )
    add_arch(parser)
    add_plot(parser, "signal over noise, operator by operator")
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="debug:run")


def _explore(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--sweep",
        action="append",
        required=True,
        metavar="FIELD=VALUE,...",
        help="values of one field of the machine, e.g. sram_bytes=524288,1572864; again, or after a comma, for the next field",
    )
    add_arch(parser)
    add_batch(parser)
    add_workers(parser, "one per CPU")
    parser.add_argument("--csv", type=arguments.path, metavar="FILE", help="write the rows as CSV too")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="do not compile for machines whose bounds say that they are not on the front",
    )
    add_plot(parser, "cycles over area, with the Pareto front")
    parser.add_argument(
        "--heat",
        action="append",
        nargs=2,
        default=[],
        metavar=("COLUMN", "FILE.png|svg"),
        help="draw a column over the first two swept fields, a panel for each machine of the others; again for another column",
    )
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:explore")


def _disasm(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    add_output(parser, "standard output")
    add_json(parser)
    parser.set_defaults(command="commands:disasm")


def _demo(parser: argparse.ArgumentParser) -> None:
    add_limit(parser)
    add_arch(parser)
    add_cache(parser)
    add_json(parser)
    parser.set_defaults(command="commands:demo")


def _tutorials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=arguments.path,
        nargs="?",
        default="re2na_tutorials",
        metavar="FOLDER",
        help="where to (re2na_tutorials); what is there already is replaced",
    )
    add_json(parser)
    parser.set_defaults(command="tutorials:copy")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clear-cache", action="store_true", help="empty the cache of quantised and built models, and do nothing else"
    )
    add_json(parser)
    parser.set_defaults(command="commands:doctor")


def _completion(parser: argparse.ArgumentParser) -> None:
    what = f"{', '.join(SHELLS)} (needs shtab; docs/cli.md)"
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=what)
    parser.set_defaults(command="completion:completion")


OPTIONS = {  # in the order of `re2na --help`
    "quantize": _quantize,
    "requantize": _requantize,
    "compile": _compile,
    "run": _run,
    "check": _check,
    "vectors": _vectors,
    "compare": _compare,
    "report": _report,
    "survey": _survey,
    "explain": _explain,
    "debug": _debug,
    "explore": _explore,
    "disasm": _disasm,
    "demo": _demo,
    "tutorials": _tutorials,
    "doctor": _doctor,
    "completion": _completion,
}
