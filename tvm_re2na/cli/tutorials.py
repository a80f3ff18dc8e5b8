"""`re2na tutorials`: copies them out of the installed package."""

from __future__ import annotations

import argparse

from tvm_re2na import tutorials
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.cli.output import Result


def copy(options: argparse.Namespace) -> Result:
    """The tutorials in a folder of the user's, and what to do with them."""
    try:
        scripts = [str(path) for path in tutorials.copy_to(options.folder)]
    except OSError as error:
        raise UsageError(f"{options.folder}: cannot be written: {error.strerror}") from error
    return Result({"scripts": scripts}, (*scripts, f"begin with: python {scripts[0]} --help"))
