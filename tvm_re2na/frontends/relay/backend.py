"""The code generator behind `relay.build`: `register.py` names it to TVM.

A partitioned function is compiled to a program of the machine. TVM gets a function of the same signature whose body holds
the program's bytes and calls `re2na_execute` of our runtime library with the data pointers of inputs and outputs. What the library
says is handed to TVM by TVM's own C function, so that a host without Python gets it as any error of TVM's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tvm
from tvm import relay, tir

from tvm_re2na.codegen.program import Program
from tvm_re2na.frontends.common.errors import check_library_path
from tvm_re2na.frontends.common.programs import bundled, linked_to, program_of
from tvm_re2na.frontends.relay.jobs import JOBS
from tvm_re2na.frontends.relay.native import nothing
from tvm_re2na.frontends.relay.partition import offloaded_functions
from tvm_re2na.runtime.abi import archives, load_library_global

EXECUTE = "re2na_execute"
SAID = "re2na_bridge_failure"
TVM_SAYS = "TVMAPISetLastError"
# Features of the build machine are left out: TVM's AVX2 kernels for int8 are not exact.
HOST = "llvm"
# tir::builtin::kTVMValueContent; a TVMValue is a union of 8 bytes, so an array of them is one of pointers
VALUE_CONTENT = 12


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


def export_library(lib: Any, path: str | os.PathLike[str], *, bundle: bool = False) -> None:
    """`lib.export_library(path)`, with our runtime: it loads in a process that has not loaded that.

    It is linked against our library where that is installed; with `bundle`, our library is put into it, so that one file can be
    taken to a machine that has TVM's runtime alone.
    """
    shared = Path(str(load_library_global()._name)).resolve()
    check_library_path(path)
    lib.export_library(str(path), options=bundled([], archives()[:1]) if bundle else linked_to(shared))


def codegen(function: relay.Function) -> tvm.runtime.Module:
    """The module that runs an offloaded function."""
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
    said = tir.Evaluate(tir.call_extern("int32", TVM_SAYS, tir.call_extern("handle", SAID)))
    fail = tir.Evaluate(tir.call_intrin("int32", "tir.tvm_throw_last_error"))
    complain = tir.IfThenElse(status != 0, tir.SeqStmt([said, fail]), None)
    body: tir.Stmt = tir.SeqStmt([*stores, tir.LetStmt(status, call, complain)])
    body = tir.LetStmt(pointers, tir.tvm_stack_alloca("arg_value", len(buffers)), body)
    function = tir.PrimFunc(handles, body, buffer_map=dict(zip(handles, buffers, strict=True)))
    function = function.with_attr({"global_symbol": symbol, "tir.noalias": True})
    return tvm.build(tvm.IRModule({symbol: function}), target=HOST)
