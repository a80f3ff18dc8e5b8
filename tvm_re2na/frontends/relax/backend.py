"""The code generator behind `tvm.compile`: `relax.ext.re2na` and the target tag "re2na".

A partitioned function is compiled to a program of the machine; a module of our runtime (runtime/tvm/module.cc) carries and runs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tvm_ffi
from tvm import relax
from tvm.target.tag import register_tag

from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.frontends.relax.lower import lower
from tvm_re2na.frontends.relax.partition import architecture_of
from tvm_re2na.runtime.abi import load_module_library, module_library_path

TAG = "re2na"
Programs = list[tuple[str, Program]]
_collectors: ContextVar[tuple[Programs, ...]] = ContextVar("re2na_collectors", default=())
_failure: ContextVar[Exception | None] = ContextVar("re2na_failure", default=None)


@contextmanager
def collect_programs() -> Iterator[Programs]:
    """Inside the block, every program compiled by TVM is appended to the list as (symbol, program).

    What our compiler raises leaves the block as it is; TVM, on whose way up it is, would make a RuntimeError of it.
    """
    programs: Programs = []
    tokens = _collectors.set((*_collectors.get(), programs)), _failure.set(None)
    try:
        yield programs
    except Exception as error:
        raise (_failure.get() or error) from None
    finally:
        _failure.reset(tokens[1])
        _collectors.reset(tokens[0])


def export_library(lib: Any, path: str | os.PathLike[str]) -> None:
    """`lib.export_library(path)`, linked against our runtime library: it loads in a process that has not loaded that one."""
    library = module_library_path()
    folder = str(library.parent)
    lib.export_library(
        str(path), options=["-Wl,--no-as-needed", f"-L{folder}", f"-l:{library.name}", f"-Wl,-rpath,{folder}"]
    )


@tvm_ffi.register_global_func("relax.ext.re2na", override=True)
def _codegen(functions: list[relax.Function], options: Any, constant_names: Any) -> list[Any]:
    del options, constant_names
    try:
        return [_module_of(function) for function in functions]
    except Exception as error:
        _failure.set(error)
        raise


def _module_of(function: relax.Function) -> Any:
    symbol = str(function.attrs["global_symbol"])
    arch = architecture_of(function)
    program = compile_graph(lower(function, symbol, arch), arch)
    for programs in _collectors.get():
        programs.append((symbol, program))
    return tvm_ffi.get_global_func("re2na.module")(symbol, program.to_bytes())


load_module_library()
register_tag(TAG, {"kind": "llvm", "keys": ["re2na", "cpu"]}, override=True)
