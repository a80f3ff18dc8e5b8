"""The options that say what a model's inputs are, and how they are read. Nothing large is loaded: help must not wait."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """What the file leaves open."""
    parser.add_argument(
        "--input-shape",
        type=_sizes,
        action="append",
        metavar="[NAME=]SIZES",
        help="sizes of the model's input, like 1,3,224,224 (N leaves one as it is); again, with NAME, for each of several inputs",
    )
    parser.add_argument(
        "--input",
        type=_array,
        action="append",
        metavar="NAME=FILE.npy",
        help="an input that is constant, and what it is; again for the next one",
    )


def _sizes(text: str) -> tuple[str, tuple[int | None, ...]]:
    """`x=1,3,N` as the name, empty where there is none, and the sizes; N is None."""
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(None if size.strip() == "N" else int(size) for size in sizes.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no shape, like 1,3,224,224 or NAME=1,3,224,224") from None


def _array(text: str) -> tuple[str, Path]:
    from pathlib import Path

    name, found, path = text.partition("=")
    if not (name and found and path):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=FILE.npy")
    return name, Path(path)
