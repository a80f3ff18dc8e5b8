"""Puts another build of the library, whose path RE2NA_SANITIZED names, in the place of the installed one (`pytest -p`)."""

from __future__ import annotations

import os
from pathlib import Path

from tvm_re2na.runtime import abi


def use(path: Path) -> None:
    """Before anything is loaded."""
    abi.library_path = lambda: path


if "RE2NA_SANITIZED" in os.environ:
    use(Path(os.environ["RE2NA_SANITIZED"]).resolve())
