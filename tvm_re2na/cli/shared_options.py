"""Options that several commands have, each declared once."""

from __future__ import annotations

import argparse

from tvm_re2na.cli import arguments
from tvm_re2na.cli.input_options import add_input_options
from tvm_re2na.codegen.passes import PASSES
from tvm_re2na.preprocessing_options import OPTIONS

DATA_HELP = (
    "test images: an .npz with x (and mean, std, y), or with an array for each of several inputs, an .npy, or a folder with"
    " one sub-folder per class"
)


def add_model(
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
    add_pixels(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=arguments.path, required=True, metavar="DATA", help=DATA_HELP)


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """How a model is run on both sides."""
    add_limit(parser)
    add_arch(parser)
    add_batch(parser)
    add_threads(parser, "threads that the simulator uses for an image (RE2NA_THREADS, or 1)")
    add_check_images(parser)
    add_workers(parser)


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """What is done to the pixels of images."""
    group = parser.add_argument_group(
        "pixels (docs/cli.md#pixels); by default what the model's calibration images went through"
    )
    for name, (metavar, text) in OPTIONS.items():
        if metavar is None:
            group.add_argument(f"--{name}", action="store_const", const=True, help=text)
        else:
            group.add_argument(f"--{name}", type=arguments.field_of_preprocessing(name), metavar=metavar, help=text)


def add_program(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "program", type=arguments.path, metavar="PROGRAM.re2na", help="a program that `re2na compile` wrote"
    )


def add_program_and_data(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument(
        "--data", type=arguments.path, required=True, metavar="DATA", help=f"{DATA_HELP}; or x as int8, used as it is"
    )
    add_pixels(parser)


def add_arch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arch",
        type=arguments.path,
        metavar="ARCH.toml",
        help="fields of the machine that differ from Re²Na (docs/hardware.md)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--format",
        choices=("table", "plain", "csv", "json"),
        default="table",
        help="print a table (the default), its text without a frame, CSV, or JSON (docs/json.md)",
    )
    group.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="neither use nor fill the cache of quantised and built models (docs/cli.md)",
    )


def add_limit(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    parser.add_argument(
        "--limit", type=arguments.positive, default=default, metavar="N", help="use at most N test images"
    )


def add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=arguments.positive, default=1, metavar="N", help="images per run of the program (1)"
    )


def add_threads(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--threads", type=arguments.threads, metavar="N", help=what)


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--output", "-o", type=arguments.path, metavar="FILE", help=f"where to write it ({default})")


def add_plot(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--plot", type=arguments.path, metavar="FILE.png|svg", help=f"draw {what} (needs matplotlib)")


def add_dump(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dump-after",
        choices=PASSES,
        metavar="PASS",
        help=f"print to stderr what a pass of the compiler made (docs/cli.md): {', '.join(PASSES)}",
    )


def add_workers(parser: argparse.ArgumentParser, default: str = "1, which is this one") -> None:
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


def add_check_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check-images",
        type=arguments.not_negative,
        metavar="N",
        help="images on which ONNX Runtime judges every operator (4; 0: none)",
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    what = "tell on stderr the steps and how long they took; -vv: the compiler's passes and the cache as well"
    parser.add_argument("--verbose", "-v", action="count", default=0, help=what)
