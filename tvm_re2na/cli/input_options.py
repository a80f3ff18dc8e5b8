"""The options that say what a model's inputs are."""

from __future__ import annotations

import argparse

from tvm_re2na.cli import arguments


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """What the file leaves open."""
    parser.add_argument(
        "--input-shape",
        type=arguments.sizes_of_input,
        action="append",
        metavar="[NAME=]SIZES",
        help="sizes of the model's input, like 1,3,224,224 (N leaves one as it is); again, with NAME, for each of several inputs",
    )
    parser.add_argument(
        "--input",
        type=arguments.constant_input,
        action="append",
        metavar="NAME=FILE.npy",
        help="an input that is constant, and what it is; again for the next one",
    )
