"""The code generator behind `relax.transform.RunCodegen`: `register.py` names it to TVM.

A partitioned function is compiled to a program of the machine; a module of our runtime (runtime/tvm/module.cc) carries and runs it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tvm_ffi
from tvm import relax

from tvm_re2na.frontends.common.errors import check_library_path
from tvm_re2na.frontends.common.programs import bundled, linked_to, program_of
from tvm_re2na.frontends.relax.jobs import JOBS
from tvm_re2na.runtime.abi import archives, module_library_path


def export_library(lib: Any, path: str | os.PathLike[str], *, bundle: bool = False) -> None:
    """As of Relay: `lib.export_library(path)`, linked against our runtime library, or with it inside."""
    check_library_path(path)
    lib.export_library(str(path), options=_inside() if bundle else linked_to(module_library_path()))


def _inside() -> list[str]:
    """TVM-FFI is named without a folder: a process that runs TVM has loaded it."""
    module_library_path()  # says what is missing
    runtime, module = archives()
    ffi = Path(tvm_ffi.libinfo.find_libtvm_ffi())
    return [*bundled([module], [runtime]), "-Wl,--no-as-needed", f"-L{ffi.parent}", f"-l:{ffi.name}"]


def codegen(function: relax.Function) -> Any:
    """The module that runs an offloaded function."""
    symbol = str(function.attrs["global_symbol"])
    program = program_of(symbol, lambda: JOBS.program(function, symbol))
    return tvm_ffi.get_global_func("re2na.module")(symbol, program.to_bytes())
