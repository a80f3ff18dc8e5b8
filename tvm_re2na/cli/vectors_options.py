"""The options of `re2na vectors` alone: of what it writes the memories, and where."""

from __future__ import annotations

import argparse

from tvm_re2na.cli import arguments


def add_vectors_options(parser: argparse.ArgumentParser) -> None:
    """Image, instructions, folder."""
    parser.add_argument(
        "--image", type=arguments.not_negative, default=0, metavar="N", help="which of them; the first of a batch (0)"
    )
    parser.add_argument(
        "--layers", nargs="+", default=[], metavar="NAME", help="memories before and after all instructions of a layer"
    )
    parser.add_argument(
        "--instructions",
        type=arguments.span_of_numbers,
        nargs="+",
        default=[],
        metavar="I",
        help="the same of single instructions, as `re2na disasm --json` numbers them: 12, or 12-15",
    )
    parser.add_argument(
        "--output", "-o", type=arguments.path, required=True, metavar="FOLDER", help="where to write it: a new folder"
    )
