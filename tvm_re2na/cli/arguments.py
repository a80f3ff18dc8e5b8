"""How arguments are read; an error of argparse for what they cannot be. Nothing large is loaded: help must not wait."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # typing and pathlib cost a tenth of what help may take
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tvm_re2na.mixed.target import Target


def path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of at least 1")
    return number


def not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no number of at least 0")
    return int(text)


def span_of_numbers(text: str) -> range:
    """`12` or `12-15`, the last one included."""
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() if dash else True)) or (dash and int(last) < int(first)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number and no span of numbers, like 12 or 12-15")
    return range(int(first), int(last or first) + 1)


def field_of_preprocessing(name: str) -> Callable[[str], Any]:
    """Reads one field of Preprocessing; an error of argparse for what it cannot be."""

    def read(text: str) -> Any:
        from tvm_re2na.preprocessing import Preprocessing, PreprocessingError

        try:
            return Preprocessing.read(name, text)
        except PreprocessingError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def widths(text: str) -> tuple[int, ...]:
    """`8,4,2` as numbers; an error of argparse for anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(2 <= number <= 8 for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of widths from 2 to 8, like 8,6,4")
    return numbers


def target(text: str) -> Target:
    from tvm_re2na.mixed.target import Target

    try:
        return Target.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def threads(text: str) -> int:
    from tvm_re2na.runtime.abi_table import MOST_THREADS

    number = positive(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"'{text}' is more than {MOST_THREADS}")
    return number


def sizes_of_input(text: str) -> tuple[str, tuple[int | None, ...]]:
    """`x=1,3,N` as the name, empty where there is none, and the sizes; N is None."""
    name, _, given = text.rpartition("=")
    try:
        return name, tuple(None if size.strip() == "N" else int(size) for size in given.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no shape, like 1,3,224,224 or NAME=1,3,224,224") from None


def constant_input(text: str) -> tuple[str, Path]:
    """`NAME=FILE.npy` as the name and the file."""
    name, found, file = text.partition("=")
    if not (name and found and file):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=FILE.npy")
    return name, path(file)
