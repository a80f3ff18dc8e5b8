"""Functions of single numbers become entries of tables, before the patterns look at a module: they have no form of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from tvm_re2na.frontends.common.tables import ByteFunction, byte_function
from tvm_re2na.frontends.relax.describe import RelaxReader
from tvm_re2na.frontends.relax.walk import bindings_of, op_name, shape_of

Expr = Any


def with_tables(mod: tvm.IRModule) -> tvm.IRModule:
    """`quantize(function(dequantize(x)))` -> `look_up(x, entries)`, in `main`."""
    values = dict(bindings_of(mod["main"]))
    reader = RelaxReader(values)
    quantized = ((variable, value) for variable, value in values.items() if op_name(value) == "quantize")
    found = {
        variable: function for variable, call in quantized if (function := byte_function(call, reader)) is not None
    }
    if not found:
        return mod
    mod = mod.clone()
    mod["main"] = _Tables(mod, found, values).visit_expr(mod["main"])
    return mod


def look_up(data: Expr, entries: npt.NDArray[np.int8], emit: Callable[[Expr], Expr] = lambda call: call) -> Expr:
    """The entry of each int8, that of -128 the first; `emit` binds a call to a variable."""
    wide = emit(relax.op.astype(data, "int32"))
    places = emit(relax.op.add(wide, relax.const(128, "int32")))
    return relax.op.take(
        relax.const(entries, "int8"), places, axis=0, mode="clip"
    )  # none is outside; TVM warns of `fast` at each


@relax.expr_functor.mutator
class _Tables(relax.PyExprMutator):  # type: ignore[misc]
    """`found`: of the variables that have become functions' results; `values`: what variables were bound to."""

    def __init__(self, mod: tvm.IRModule, found: dict[Any, ByteFunction], values: dict[Any, Any]) -> None:
        super().__init__(mod)
        self._found = found
        self._values = values

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        function = self._found.get(binding.var)
        if function is not None:
            last = self._values[binding.value.args[0]]  # the call that has the operator's name
            taken = look_up(function.data, function.entries, self.builder_.emit)
            taken = relax.Call(taken.op, list(taken.args), taken.attrs, taken.ty_args, last.span)
            if shape_of(function.data) != shape_of(binding.var):
                taken = relax.op.reshape(self.builder_.emit(taken), list(shape_of(binding.var)))
            binding = relax.VarBinding(binding.var, taken)
        super().visit_var_binding_(binding)
