"""The code generator behind `relay.build`: `relay.ext.re2na` and the target tag "re2na".

A partitioned function is compiled to a program of the machine. TVM gets a function of the same signature whose body holds
the program's bytes and calls `re2na_execute` of our runtime library with the data pointers of inputs and outputs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tvm
from tvm import relay, tir

import tvm_re2na.frontends.relay.exact  # noqa: F401  registers with TVM what the target leaves on the CPU
from tvm_re2na.codegen.program import Program
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.common.programs import linked_to, program_of
from tvm_re2na.frontends.relay.jobs import JOBS
from tvm_re2na.frontends.relay.native import nothing
from tvm_re2na.frontends.relay.partition import offloaded_functions
from tvm_re2na.runtime.abi import load_library_global

EXECUTE = "re2na_execute"
RAISE = "re2na.raise_error"
# Features of the build machine are left out: TVM's AVX2 kernels for int8 are not exact.
HOST = "llvm"
VALUE_CONTENT = (
    12  # tir::builtin::kTVMValueContent; a TVMValue is a union of 8 bytes, so an array of them is one of pointers
)


def without_bodies(mod: tvm.IRModule) -> tvm.IRModule:
    """A partitioned module for builds that have its programs already: TVM's passes do not go through offloaded code.

    It stands in the module as an empty body of the same type.
    """
    stubs = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions)
    for symbol, function in offloaded_functions(mod):
        stubs[symbol] = relay.Function(
            function.params, nothing(function.ret_type), function.ret_type, attrs=function.attrs
        )
    return stubs


def export_library(lib: Any, path: str | os.PathLike[str]) -> None:
    """`lib.export_library(path)`, linked against our runtime library: it loads in a process that has not loaded that one."""
    lib.export_library(str(path), options=linked_to(Path(str(load_library_global()._name)).resolve()))


@tvm.register_func("relay.ext.re2na", override=True)
def _codegen(function: relay.Function) -> tvm.runtime.Module:
    symbol = str(function.attrs["global_symbol"])
    program = program_of(symbol, lambda: JOBS.program(function, symbol))
    load_library_global()
    return carry(program, symbol)


def carry(program: Program, symbol: str) -> tvm.runtime.Module:
    """A TVM module whose function `symbol` takes the program's inputs and outputs and executes it."""
    code = program.packed()  # TVM takes a bytearray for a string of any content
    tensors = [*program.inputs, *program.outputs]
    buffers = [tir.decl_buffer(tensor.shape, "int8", f"tensor_{index}") for index, tensor in enumerate(tensors)]
    handles = [tir.Var(f"handle_{index}", "handle") for index in range(len(buffers))]
    pointers, status = tir.Var("pointers", "handle"), tir.Var("status", "int32")
    stores = [tir.Evaluate(tir.tvm_struct_set(pointers, i, VALUE_CONTENT, b.data)) for i, b in enumerate(buffers)]
    size = tir.IntImm("int64", len(code))
    # A string is one constant for LLVM; an array (AllocateConst) would be one for each of its millions of elements.
    call = tir.call_extern("int32", EXECUTE, tir.StringImm(code), size, pointers)
    complain = tir.IfThenElse(status != 0, tir.Evaluate(tir.call_packed(RAISE, status)), None)
    body: tir.Stmt = tir.SeqStmt([*stores, tir.LetStmt(status, call, complain)])
    body = tir.LetStmt(pointers, tir.tvm_stack_alloca("arg_value", len(buffers)), body)
    function = tir.PrimFunc(handles, body, buffer_map=dict(zip(handles, buffers, strict=True)))
    function = function.with_attr({"global_symbol": symbol, "tir.noalias": True})
    return tvm.build(tvm.IRModule({symbol: function}), target=HOST)


@tvm.register_func(RAISE, override=True)
def _raise_error(status: int) -> None:
    message = (load_library_global().re2na_bridge_last_error() or b"").decode(errors="replace")
    raise tvm.TVMError(f"Re2Na: error {status}: {message}")


tvm.target.tag.register_tag(TAG, {"kind": "llvm", "keys": ["re2na", "cpu"]}, override=True)
