"""The options of commands whose work is cut into shards: on how many processes or machines, and what of it is done already."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm_re2na.cli.errors import UsageError
from tvm_re2na.parallel import dask


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
