"""The code generator behind `tvm.compile`: `relax.ext.re2na` and the target tag "re2na".

A partitioned function is compiled to a program of the machine; a module of our runtime (runtime/tvm/module.cc) carries and runs it.
"""

from __future__ import annotations

import os
from typing import Any

import tvm_ffi
from tvm import relax
from tvm.target.tag import register_tag

from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.common.programs import linked_to, program_of
from tvm_re2na.frontends.relax.jobs import JOBS
from tvm_re2na.runtime.abi import load_module_library, module_library_path


def export_library(lib: Any, path: str | os.PathLike[str]) -> None:
    """`lib.export_library(path)`, linked against our runtime library: it loads in a process that has not loaded that one."""
    lib.export_library(str(path), options=linked_to(module_library_path()))


@tvm_ffi.register_global_func("relax.ext.re2na", override=True)
def _codegen(functions: list[relax.Function], options: Any, constant_names: Any) -> list[Any]:
    del options, constant_names
    return [_module_of(function) for function in functions]


def _module_of(function: relax.Function) -> Any:
    symbol = str(function.attrs["global_symbol"])
    program = program_of(symbol, lambda: JOBS.program(function, symbol))
    return tvm_ffi.get_global_func("re2na.module")(symbol, program.to_bytes())


load_module_library()
register_tag(TAG, {"kind": "llvm", "keys": ["re2na", "cpu"]}, override=True)
