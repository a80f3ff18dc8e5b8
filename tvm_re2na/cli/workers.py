"""The options of commands whose work is cut into shards: on how many processes or machines, and what of it is done already."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvm_re2na.parallel import dask


class UsageError(ValueError):
    """An option that cannot be followed."""


def add_options(parser: argparse.ArgumentParser, default: str = "1, which is this one") -> None:
    group = parser.add_argument_group("many processes and machines (docs/many_machines.md)")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help=f"worker processes ({default})")
    where.add_argument(
        "--dask", metavar="ADDRESS", help="the workers of a Dask scheduler, like tcp://host:8786 (needs distributed)"
    )
    group.add_argument(
        "--resume", type=Path, metavar="FILE", help="note there what is finished; what is noted there is not done again"
    )


@contextmanager
def workers(options: argparse.Namespace, jobs: int | None = 1) -> Iterator[dict[str, Any]]:
    """`executor`, `jobs` and `resume` as compare, survey, simulate and explore take them; `jobs` where the user says nothing."""
    resume = getattr(options, "resume", None)
    if resume is not None and (resume.is_dir() or not resume.parent.is_dir()):
        raise UsageError(f"{resume}: cannot be written: no such folder, or a folder itself")
    known = {"executor": None, "jobs": getattr(options, "jobs", None) or jobs, "resume": resume}
    if getattr(options, "dask", None) is None:
        yield known
        return
    with dask.connect(options.dask) as executor:
        yield known | {"executor": executor}


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of at least 1")
    return number
