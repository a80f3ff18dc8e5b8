"""`re2na tutorials`: copies them out of the installed package."""

from __future__ import annotations

import argparse

from tvm_re2na import frontends, tutorials
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result

NEWEST = "relax"  # the TVM that one would install, where there is none


def copy(options: argparse.Namespace) -> Result:
    """The tutorials in a folder of the user's, and what to do with them."""
    try:
        scripts = [str(path) for path in tutorials.copy_to(options.folder)]
    except OSError as error:
        raise UsageError(f"{options.folder}: cannot be written: {error.strerror}") from error
    first = str(options.folder / tutorials.first(frontends.installed() or NEWEST).relative_to(tutorials.FOLDER))
    return Result({"scripts": scripts, "first": first}, (*scripts, f"begin with: python {first}"))
