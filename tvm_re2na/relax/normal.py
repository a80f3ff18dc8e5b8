"""Brings an imported module to the forms that the patterns know.

The ONNX importer makes of a Clip two calls of TIR functions, and computes its bounds by `where(isnan(bound), infinity, bound)`.
Operators that read the same quantised tensor share its `dequantize`, which can be fused into one of them only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx
from tvm_ffi.structural import structural_walk

from tvm_re2na.relax.walk import array_of, op_name

EXTREMA = {tirx.Max: relax.op.maximum, tirx.Min: relax.op.minimum}


def normalise(mod: tvm.IRModule, params: Mapping[str, Any] | None = None) -> tvm.IRModule:
    """Bind parameters, turn clips into `maximum` and `minimum` of constants, give each operator its own `dequantize`."""
    if params:
        mod = relax.transform.BindParams("main", dict(params))(mod)
    mod = mod.clone()
    for rewriter in (_Extrema, _Unshared):
        mod["main"] = rewriter(mod).visit_expr(mod["main"])
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination(["main"])]
    return tvm.transform.Sequential(passes)(mod)


@relax.expr_functor.mutator
class _Extrema(relax.PyExprMutator):  # type: ignore[misc]
    """`call_tir(maximum, (x, bound))` -> `maximum(x, constant)`, and the same of `minimum`."""

    def __init__(self, mod: tvm.IRModule) -> None:
        super().__init__(mod)
        self._mod = mod

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = super().visit_call_(call)
        if op_name(call) != "call_tir" or len(call.args[1].fields) != 2:
            return call
        data, bound = call.args[1].fields
        constant, op = self._number(bound), _extremum(self._mod[call.args[0]])
        return call if constant is None or op is None else op(data, constant)

    def _number(self, expr: Any) -> Any:
        """The constant that `expr`, a constant or a `where` on one that is no NaN, amounts to; otherwise None."""
        expr = self._value(expr)
        if op_name(expr) == "where":
            condition, _, kept = (self._value(argument) for argument in expr.args)
            tested = array_of(self._value(condition.args[0])) if op_name(condition) == "isnan" else None
            expr = kept if tested is not None and not np.isnan(tested).any() else expr
        return expr if array_of(expr) is not None else None

    def _value(self, expr: Any) -> Any:
        bound = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        return expr if bound is None else bound


@relax.expr_functor.mutator
class _Unshared(relax.PyExprMutator):  # type: ignore[misc]
    """A fresh `dequantize` for every argument that is one."""

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = super().visit_call_(call)
        arguments = [self._own(argument) for argument in call.args]
        return relax.Call(call.op, arguments, call.attrs, call.ty_args, call.span)

    def _own(self, argument: Any) -> Any:
        bound = self.lookup_binding(argument) if isinstance(argument, relax.Var) else None
        if op_name(bound) != "dequantize":
            return argument
        return self.builder_.emit(relax.Call(bound.op, list(bound.args), bound.attrs, bound.ty_args, bound.span))


def _extremum(function: tirx.PrimFunc) -> Any:
    """`maximum` or `minimum` where a TIR function stores nothing but that of its first and second operand, otherwise None."""
    stores: list[tirx.BufferStore] = []
    structural_walk(function.body, (tirx.BufferStore, stores.append))
    value = stores[0].value if len(stores) == 1 else None
    if type(value) not in EXTREMA:
        return None
    sides = (value.a, value.b)
    loads = [isinstance(side, tvm.ir.TensorLoad) and side.source.same_as(param) for side, param in zip(sides, function.params, strict=False)]
    return EXTREMA[type(value)] if all(loads) else None
