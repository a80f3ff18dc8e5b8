"""Errors of the simulator's on their way through TVM, and what TVM is not to be asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.runtime.abi_table import STATUS
from tvm_re2na.runtime.library import SimulatorError

SIMULATOR_SAID = re.compile(r"Re2Na: (?:error (\d+): )?([^\n]+)")


class LibraryPathError(Re2naError, ValueError):
    """No library can be written there; the message names the path."""


class NoModuleError(Re2naError, TypeError):
    """What was given is no module of TVM's; the message says what it is, and which call makes a module."""


def check_library_path(path: str | os.PathLike[str]) -> None:
    """Raises LibraryPathError where TVM's `export_library` would write an archive, or has nowhere to write to."""
    target = Path(path)
    if ".so" not in target.suffixes:
        raise LibraryPathError(f"{target}: export_library writes shared libraries, whose names end in .so")
    if not target.absolute().parent.is_dir():
        raise LibraryPathError(f"{target}: the folder {target.parent} does not exist")


def check_module(given: object, kind: type, importer: str) -> None:
    """Raises NoModuleError where it is none; `importer`: the call that makes one of an ONNX model."""
    if not isinstance(given, kind):
        raise NoModuleError(
            f"a module of TVM's (tvm.IRModule) is expected, this is {type(given).__name__}; {importer} makes one"
        )


@contextmanager
def simulator_errors() -> Iterator[None]:
    """An error of the simulator's that comes through TVM, as whatever TVM makes of it, is a SimulatorError."""
    try:
        yield
    except Exception as error:
        said = SIMULATOR_SAID.search(str(error))
        if said is None or isinstance(error, SimulatorError):
            raise
        raise SimulatorError(int(said[1] or STATUS.index("argument")), said[2]) from error
