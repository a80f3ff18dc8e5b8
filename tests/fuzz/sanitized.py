"""Puts another build of the library in the place of the installed one: `use(path)`, or `pytest -p tests.fuzz.sanitized` with the path in
RE2NA_SANITIZED."""

from __future__ import annotations

import os
from pathlib import Path

from tvm_re2na.runtime import library


def use(path: Path) -> None:
    """Before anything is loaded."""
    library.library_path = lambda: path


if "RE2NA_SANITIZED" in os.environ:
    use(Path(os.environ["RE2NA_SANITIZED"]).resolve())
