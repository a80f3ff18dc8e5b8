"""The two front ends, one for each TVM, and which of them there is.

`tvm_re2na.frontends.relay` knows TVM 0.19 with Relay, `tvm_re2na.frontends.relax` today's TVM with Relax; users import them as
`tvm_re2na.relay` and `tvm_re2na.relax`. Both TVMs import as `tvm`, so an environment holds one of them. The functions of
`interface.Session` are all that the pipeline asks of either; what they do alike is in `common`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tvm_re2na.codegen.errors import MISSING_PACKAGE, Re2naError

if TYPE_CHECKING:
    from tvm_re2na.frontends.interface import Session

FRONT_ENDS = ("relay", "relax")


class MissingPackageError(Re2naError, ImportError):
    """An optional package is not installed; the message says how to get it."""

    exit_code = MISSING_PACKAGE


@cache
def installed() -> str | None:
    """The front end of the TVM that is installed; TVM 0.19 holds an early Relax besides Relay, and is Relay's."""
    spec = find_spec("tvm")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return next((front_end for front_end in FRONT_ENDS for folder in folders if (folder / front_end).is_dir()), None)


def session() -> Session:
    """The session of the installed TVM; loading it registers the target. Raises MissingPackageError where there is none."""
    return cast("Session", _load("session"))


def _load(module: str) -> Any:
    front_end = installed()
    if front_end is None:
        raise MissingPackageError(
            "TVM is not installed: pip install 'tvm_re2na[relax]' (today's TVM) or 'tvm_re2na[relay]' (TVM 0.19)"
        )
    try:
        return import_module(f"{__name__}.{front_end}.{module}")
    except ImportError as error:
        if not (error.name or "").startswith("tvm") or (error.name or "").startswith("tvm_re2na"):
            raise
        raise MissingPackageError(f"TVM is not whole: pip install 'tvm_re2na[{front_end}]'") from error


def __getattr__(name: str) -> Any:
    """`partition_for_re2na`, `explain` and `target` of the installed TVM's front end."""
    homes = {"partition_for_re2na": "partition", "explain": "explain", "target": "register"}
    if name not in homes:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_load(homes[name]), name)
