"""The code generator behind `tvm.compile`: `relax.ext.re2na` and the target tag "re2na".

A partitioned function is compiled to a program of the machine, which a module of our runtime (runtime/tvm/module.cc) carries and runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tvm
import tvm_ffi
from tvm import relax

from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.relax.lower import lower
from tvm_re2na.relax.partition import architecture_of

Programs = list[tuple[str, Program]]
_collectors: ContextVar[tuple[Programs, ...]] = ContextVar("re2na_collectors", default=())


@contextmanager
def collect_programs() -> Iterator[Programs]:
    """Inside the block, every program compiled by TVM is appended to the list as (symbol, program)."""
    programs: Programs = []
    token = _collectors.set((*_collectors.get(), programs))
    try:
        yield programs
    finally:
        _collectors.reset(token)


@tvm_ffi.register_global_func("relax.ext.re2na", override=True)
def _codegen(functions: list[relax.Function], options: Any, constant_names: Any) -> list[Any]:
    del options, constant_names
    return [_module_of(function) for function in functions]


def _module_of(function: relax.Function) -> Any:
    symbol = str(function.attrs["global_symbol"])
    arch = architecture_of(function)
    program = compile_graph(lower(function, symbol, arch), arch)
    for programs in _collectors.get():
        programs.append((symbol, program))
    return tvm_ffi.get_global_func("re2na.module")(symbol, program.to_bytes())
