"""The options of every command. Each names its function, `module:function`, which is loaded when it runs: help needs none."""

from __future__ import annotations

import argparse

from tvm_re2na import __version__
from tvm_re2na.cli import arguments
from tvm_re2na.cli.input_options import add_input_options
from tvm_re2na.cli.knobs import add_knobs
from tvm_re2na.cli.vectors_options import add_vectors_options
from tvm_re2na.codegen.passes import PASSES
from tvm_re2na.preprocessing_options import OPTIONS

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
DATA_HELP = (
    "test images: an .npz with x (and mean, std, y), or with an array for each of several inputs, an .npy, or a folder with"
    " one sub-folder per class"
)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="re2na", description="Quantise, compile and simulate CNNs for the Re²Na accelerator.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"re2na {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = commands.add_parser
    _quantize(add("quantize", help="float ONNX + calibration images -> power-of-two int8 ONNX (QDQ)"))
    _requantize(
        add(
            "requantize",
            help="a model that another tool has quantised -> one with power-of-two scales, and what that costs",
        )
    )
    _compile(add("compile", help="ONNX -> .re2na program, with a table of its layers"))
    _run(add("run", help="run a .re2na program on the simulator"))
    _check(
        add("check", help="prove, without data, that a .re2na program keeps the rules, has its cycles and no hazard")
    )
    _vectors(add("vectors", help="golden vectors for a hardware test bench: memories around instructions, cycles"))
    _compare(add("compare", help="accuracy and speed: float CPU, int8 CPU (TVM) and Re²Na"))
    _report(add("report", help="one page of everything about a run, opened in a browser; or what differs between two"))
    _survey(add("survey", help="accuracy against width, carry bits, rounding, sensitivity of layers"))
    _explain(add("explain", help="every operator: offloaded, or why not"))
    _debug(add("debug", help="float, ONNX Runtime, TVM and Re²Na operator by operator: where accuracy and bits go"))
    _explore(add("explore", help="compile and time a model for a grid of machines: table, CSV, Pareto front"))
    _disasm(add("disasm", help="list a program's instructions"))
    _demo(add("demo", help="the whole job on LeNet-5 and MNIST images that come with the package"))
    _tutorials(add("tutorials", help="copy the tutorials into a folder"))
    _doctor(add("doctor", help="what is installed, what works, what is missing and the command that mends it"))
    _completion(add("completion", help="a script with which a shell completes commands, options and files"))
    for command in commands.choices.values():
        _verbose(command)
    return parser


def _model(
    parser: argparse.ArgumentParser,
    what: str = "a float model, or a quantised one",
    images: str = "a float model needs them",
) -> None:
    parser.add_argument("model", type=arguments.path, metavar="MODEL.onnx", help=what)
    parser.add_argument("--calibration", type=arguments.path, metavar="DATA", help=f"calibration images; {images}")
    parser.add_argument(
        "--calibration-limit",
        type=arguments.positive,
        metavar="N",
        help="use at most N calibration images (all of them)",
    )
    add_input_options(parser)
    _pixels(parser)


def _pixels(parser: argparse.ArgumentParser) -> None:
    """What is done to the pixels of images."""
    group = parser.add_argument_group(
        "pixels (docs/cli.md#pixels); by default what the model's calibration images went through"
    )
    for name, (metavar, text) in OPTIONS.items():
        if metavar is None:
            group.add_argument(f"--{name}", action="store_const", const=True, help=text)
        else:
            group.add_argument(f"--{name}", type=arguments.field_of_preprocessing(name), metavar=metavar, help=text)


def _program(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "program", type=arguments.path, metavar="PROGRAM.re2na", help="a program that `re2na compile` wrote"
    )


def _program_and_data(parser: argparse.ArgumentParser) -> None:
    _program(parser)
    parser.add_argument(
        "--data", type=arguments.path, required=True, metavar="DATA", help=f"{DATA_HELP}; or x as int8, used as it is"
    )
    _pixels(parser)


def _arch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arch",
        type=arguments.path,
        metavar="ARCH.toml",
        help="fields of the machine that differ from Re²Na (docs/hardware.md)",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--format",
        choices=("table", "plain", "csv", "json"),
        default="table",
        help="print a table (the default), its text without a frame, CSV, or JSON (docs/json.md)",
    )
    group.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="neither use nor fill the cache of quantised and built models (docs/cli.md)",
    )


def _limit(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    parser.add_argument(
        "--limit", type=arguments.positive, default=default, metavar="N", help="use at most N test images"
    )


def _batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=arguments.positive, default=1, metavar="N", help="images per run of the program (1)"
    )


def _threads(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--threads", type=arguments.threads, metavar="N", help=what)


def _output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--output", "-o", type=arguments.path, metavar="FILE", help=f"where to write it ({default})")


def _plot(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--plot", type=arguments.path, metavar="FILE.png|svg", help=f"draw {what} (needs matplotlib)")


def _dump(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dump-after",
        choices=PASSES,
        metavar="PASS",
        help=f"print to stderr what a pass of the compiler made (docs/cli.md): {', '.join(PASSES)}",
    )


def _quantize(parser: argparse.ArgumentParser) -> None:
    _model(parser, "a float model", "needed")
    add_knobs(parser)
    _arch(parser)
    _output(parser, "MODEL.int8.onnx")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="commands:quantize")


def _workers(parser: argparse.ArgumentParser, default: str = "1, which is this one") -> None:
    group = parser.add_argument_group("many processes and machines (docs/many_machines.md)")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=arguments.positive, metavar="N", help=f"worker processes ({default})")
    where.add_argument(
        "--dask", metavar="ADDRESS", help="the workers of a Dask scheduler, like tcp://host:8786 (needs distributed)"
    )
    group.add_argument(
        "--resume",
        type=arguments.path,
        metavar="FILE",
        help="note in FILE what is finished; the same command later goes on from there",
    )


def _survey(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{name}: {text}" for name, text in SURVEYS.items())
    parser.add_argument("kind", choices=tuple(SURVEYS), metavar="KIND", help=kinds)
    _model(parser, "a float model", "needed")
    parser.add_argument("--data", type=arguments.path, required=True, metavar="DATA", help=DATA_HELP)
    _limit(parser)
    parser.add_argument(
        "--bits", type=arguments.widths, metavar="LIST", help="widths for bits and rounding (8,7,6,5,4,3,2)"
    )
    _arch(parser)
    _workers(parser)
    _plot(parser, "the survey")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="survey:survey")


def _requantize(parser: argparse.ArgumentParser) -> None:
    _model(parser, "a model that another tool has quantised", "needed")
    _limit(parser)
    _arch(parser)
    _output(parser, "MODEL.requantized.onnx")
    _json(parser)
    parser.add_argument(
        "--data",
        type=arguments.path,
        metavar="DATA",
        help="test images, to measure the cost on (the calibration images)",
    )
    parser.set_defaults(command="requantize:requantize")


def _compile(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    _arch(parser)
    _batch(parser)
    _output(parser, "MODEL.re2na")
    _dump(parser)
    parser.add_argument(
        "--report",
        action="store_true",
        help="also print where each layer's cycles and energy go, and its largest loss against what no schedule can beat",
    )
    _plot(parser, "stacked bars of the cycles by cause beside the bound")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="commands:compile_model")


def _run(parser: argparse.ArgumentParser) -> None:
    _program_and_data(parser)
    _limit(parser)
    _threads(parser, "images side by side in each process (one per processor)")
    _workers(parser)
    parser.add_argument("--output", "-o", type=arguments.path, metavar="OUT.npz", help="write the int8 outputs")
    parser.add_argument(
        "--trace",
        type=arguments.path,
        metavar="OUT.pftrace",
        help="write the timeline of a run, for ui.perfetto.dev; .pftrace.gz: packed (needs perfetto; docs/trace.md)",
    )
    _json(parser)
    parser.set_defaults(command="commands:run")


def _check(parser: argparse.ArgumentParser) -> None:
    _program(parser)
    _json(parser)
    parser.set_defaults(command="commands:check")


def _vectors(parser: argparse.ArgumentParser) -> None:
    _program_and_data(parser)
    add_vectors_options(parser)
    _json(parser)
    parser.set_defaults(command="vectors:vectors")


def _compare(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--data", type=arguments.path, required=True, metavar="DATA", help=DATA_HELP)
    _limit(parser)
    _arch(parser)
    _batch(parser)
    _threads(parser, "threads that the simulator uses for an image (RE2NA_THREADS, or 1)")
    _check_images(parser)
    _workers(parser)
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="commands:compare")


def _report(parser: argparse.ArgumentParser) -> None:
    _model(parser, "a float model, or a quantised one; or a report that --json printed")
    parser.add_argument("other", nargs="?", type=arguments.path, metavar="B.json", help="a second report: what differs")
    parser.add_argument("--data", type=arguments.path, metavar="DATA", help=f"{DATA_HELP}; a model needs them")
    parser.add_argument(
        "--survey", type=arguments.path, metavar="SURVEY.json", help="accuracy by width, from `survey bits --json`"
    )
    _limit(parser)
    _arch(parser)
    _batch(parser)
    _threads(parser, "threads that the simulator uses for an image (RE2NA_THREADS, or 1)")
    _check_images(parser)
    _workers(parser)
    _output(parser, "MODEL.report.html")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="report:report")


def _check_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check-images",
        type=arguments.not_negative,
        metavar="N",
        help="images on which ONNX Runtime judges every operator (4; 0: none)",
    )


def _explain(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--check", action="store_true", help="hold every operator against ONNX Runtime (docs/cli.md)")
    parser.add_argument(
        "--data", type=arguments.path, metavar="DATA", help="images for --check (the calibration images, or noise)"
    )
    _check_images(parser)
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
    _arch(parser)
    _batch(parser)
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="commands:explain")


def _debug(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--data", type=arguments.path, required=True, metavar="DATA", help=DATA_HELP)
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
    _arch(parser)
    _plot(parser, "signal over noise, operator by operator")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="debug:run")


def _explore(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    parser.add_argument(
        "--sweep",
        action="append",
        required=True,
        metavar="FIELD=VALUE,...",
        help="values of one field of the machine, e.g. sram_bytes=524288,1572864; again, or after a comma, for the next field",
    )
    _arch(parser)
    _batch(parser)
    _workers(parser, "one per CPU")
    parser.add_argument("--csv", type=arguments.path, metavar="FILE", help="write the rows as CSV too")
    _plot(parser, "cycles over area, with the Pareto front")
    _cache(parser)
    _json(parser)
    parser.set_defaults(command="commands:explore")


def _disasm(parser: argparse.ArgumentParser) -> None:
    _program(parser)
    _output(parser, "standard output")
    _json(parser)
    parser.set_defaults(command="commands:disasm")


def _demo(parser: argparse.ArgumentParser) -> None:
    _limit(parser)
    _arch(parser)
    _cache(parser)
    _json(parser)
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
    _json(parser)
    parser.set_defaults(command="tutorials:copy")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clear-cache", action="store_true", help="empty the cache of quantised and built models, and do nothing else"
    )
    _json(parser)
    parser.set_defaults(command="commands:doctor")


def _completion(parser: argparse.ArgumentParser) -> None:
    what = f"{', '.join(SHELLS)} (needs shtab; docs/cli.md)"
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=what)
    parser.set_defaults(command="completion:completion")


def _verbose(parser: argparse.ArgumentParser) -> None:
    what = "tell on stderr the steps and how long they took; -vv: the compiler's passes and the cache as well"
    parser.add_argument("--verbose", "-v", action="count", default=0, help=what)
