"""Brings an imported module to the forms that the patterns know.

The ONNX importer makes of a Pad a call of a TIR function, of a Clip two, whose bounds are `where(isnan(bound), infinity, bound)`,
and has the numbers of a Gather as `where(numbers < 0, numbers + size, numbers)`.
The PyTorch importer adds the sums of a dense layer to its bias, not the bias to the sums, and leaves of a Dropout what was around
it: a `dequantize` and a `quantize` of the same scale.
Operators that read the same quantised tensor share its `dequantize`, which can be fused into one of them only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax, te, tirx, topi
from tvm_ffi import structural_equal, structural_walk

from tvm_re2na.frontends.common.moving import MOVING
from tvm_re2na.frontends.relax.lookups import with_tables
from tvm_re2na.frontends.relax.walk import array_of, dtype_of, op_name, scalar_of, shape_of
from tvm_re2na.frontends.relax.written_out import as_one

BYTES = ("int8", "uint8")
MOVED = {name for moving in MOVING.values() if moving.always for name in moving.relax}


def normalise(mod: tvm.IRModule, params: Mapping[str, Any] | None = None) -> tvm.IRModule:
    """Bind parameters, bring operators to one form (`_Operators`), make tables of functions, give each its own `dequantize`."""
    if params:
        mod = relax.transform.BindParams("main", dict(params))(mod)
    mod = as_one(mod.clone())
    mod["main"] = _Operators(mod).visit_expr(mod["main"])
    mod = with_tables(mod)
    mod["main"] = _Unshared(mod).visit_expr(mod["main"])
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination(["main"])]
    return tvm.transform.Sequential(passes)(mod)


@relax.expr_functor.mutator
class _Operators(relax.PyExprMutator):  # type: ignore[misc]
    """`call_tir(maximum, (x, bound))` -> `maximum(x, constant)`, the same of `minimum`, `call_tir(pad, (x,))` -> `nn.pad(x)`;
    `add(bias, sums)` -> `add(sums, bias)`, where the sums are those of a linear operator; `quantize(dequantize(x))` -> `x`;
    `moving(dequantize(x))` -> `dequantize(quantize(moving(dequantize(x))))`.
    """

    def __init__(self, mod: tvm.IRModule) -> None:
        super().__init__(mod)
        self._mod = mod

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = super().visit_call_(call)
        if op_name(call) == "add":
            bias, sums = call.args
            return (
                relax.op.add(sums, bias)
                if op_name(self._value(sums)) in ("matmul", "nn.conv2d", "nn.conv2d_transpose")
                else call
            )
        if op_name(call) == "quantize":
            source = self._value(call.args[0])
            return source.args[0] if self._undoes(call, source) else call
        if op_name(call) == "take":
            call = relax.Call(
                call.op, [call.args[0], self._from_the_front(call.args[1])], call.attrs, call.ty_args, call.span
            )
        if op_name(call) in MOVED:
            return self._quantised(call)
        if op_name(call) != "call_tir":
            return call
        function, operands = self._mod[call.args[0]], list(call.args[1].fields)
        if len(operands) == 1:
            padded = _padding(function, operands[0], call)
            return call if padded is None else padded
        constant = self._number(operands[1]) if len(operands) == 2 else None
        op = None if constant is None else _extremum(function, operands)
        if op is None:
            return call
        made = op(operands[0], constant)
        return relax.Call(made.op, list(made.args), made.attrs, made.ty_args, call.span)

    def _quantised(self, moving: Any) -> Any:
        """With a scale of its own, that of its data, where it reads dequantised data: then it can be computed in integers,
        whatever reads it."""
        source = self._value(moving.args[0])
        if op_name(source) != "dequantize" or scalar_of(self._value(source.args[1])) is None:
            return moving
        scales, kind = source.args[1:], dtype_of(source.args[0])
        if kind not in BYTES:  # biases
            return moving
        quantized = relax.op.quantize(self.builder_.emit(moving), *scales, out_dtype=kind)
        return relax.op.dequantize(self.builder_.emit(quantized), *scales)

    def _undoes(self, quantize: Any, source: Any) -> bool:
        """Whether `quantize` gives back the 8 bits that `source` dequantised."""
        if op_name(source) != "dequantize" or not dtype_of(source.args[0]) == dtype_of(quantize) == "int8":
            return False
        mine, theirs = ([scalar_of(self._value(given)) for given in call.args[1:]] for call in (quantize, source))
        return mine == theirs and None not in mine

    def _number(self, expr: Any) -> Any:
        """The constant that `expr`, a constant or a `where` on one that is no NaN, amounts to; otherwise None."""
        expr = self._value(expr)
        if op_name(expr) == "where":
            condition, _, kept = (self._value(argument) for argument in expr.args)
            tested = array_of(self._value(condition.args[0])) if op_name(condition) == "isnan" else None
            expr = kept if tested is not None and not np.isnan(tested).any() else expr
        return expr if array_of(expr) is not None else None

    def _from_the_front(self, expr: Any) -> Any:
        """The numbers of what is taken: those of a constant, where none counts from the end."""
        value = self._value(expr)
        if op_name(value) != "where":
            return expr
        condition, _, kept = (self._value(argument) for argument in value.args)
        tested = array_of(self._value(condition.args[0])) if op_name(condition) == "less" else None
        return kept if tested is not None and array_of(kept) is not None and (tested >= 0).all() else expr

    def _value(self, expr: Any) -> Any:
        """What a variable is bound to; of an element of a tuple, as PyTorch's MaxPool is, what stands there."""
        bound = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        if isinstance(bound, relax.TupleGetItem) and isinstance(fields := self._value(bound.tuple_value), relax.Tuple):
            return self._value(fields.fields[bound.index])
        return expr if bound is None else bound


@relax.expr_functor.mutator
class _Unshared(relax.PyExprMutator):  # type: ignore[misc]
    """A fresh `dequantize` for every argument that is one."""

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = super().visit_call_(call)
        arguments = [self._own(argument) for argument in call.args]
        if op_name(call) == "concat" and isinstance(call.args[0], relax.Tuple):
            arguments[0] = relax.Tuple([self._own(field) for field in call.args[0].fields])
        return relax.Call(call.op, arguments, call.attrs, call.ty_args, call.span)

    def _own(self, argument: Any) -> Any:
        bound = self.lookup_binding(argument) if isinstance(argument, relax.Var) else None
        if bound is None or op_name(bound) != "dequantize":
            return argument
        return self.builder_.emit(relax.Call(bound.op, list(bound.args), bound.attrs, bound.ty_args, bound.span))


def _extremum(function: tirx.PrimFunc, operands: list[Any]) -> Any:
    """`maximum` or `minimum` where a TIR function is TVM's own of it, otherwise None."""
    known = {topi.maximum: relax.op.maximum, topi.minimum: relax.op.minimum}
    inputs = [_placeholder(operand) for operand in operands]
    return next((op for tensor, op in known.items() if _is(function, inputs, tensor(*inputs))), None)


def _padding(function: tirx.PrimFunc, data: Any, call: tvm.ir.Call) -> Any:
    """`nn.pad` where a TIR function is TVM's own padding by a constant, otherwise None."""
    before, values = _shifts(function)
    shapes = shape_of(data), shape_of(call)
    if before is None or len(values) != 1 or None in (*shapes[0], *shapes[1]) or len(before) != len(shapes[0]):
        return None
    after = [int(b or 0) - int(a or 0) - low for a, b, low in zip(*shapes, before, strict=True)]
    x = _placeholder(data)
    if not _is(function, [x], topi.nn.pad(x, before, after, tirx.const(values[0], dtype_of(data)))):
        return None
    return relax.op.nn.pad(
        data, [width for pair in zip(before, after, strict=True) for width in pair], "constant", values[0]
    )


def _shifts(function: tirx.PrimFunc) -> tuple[list[int] | None, list[float]]:
    """By how much each index of the only load is less than that of the result, and the numbers that are stored."""
    loads: list[Any] = []
    stores: list[Any] = []
    structural_walk(function.body, [(tirx.BufferStore, stores.append), (tvm.ir.TensorLoad, loads.append)])
    if len(loads) != 1 or len(stores) != 1 or not isinstance(stores[0].value, tvm.ir.Call):
        return None, []
    lows = [index.b if isinstance(index, tirx.Sub) else 0 for index in loads[0].indices]
    numbers = [part.value for part in stores[0].value.args if isinstance(part, (tirx.FloatImm, tirx.IntImm))]
    return ([int(low) for low in lows] if all(isinstance(low, (int, tirx.IntImm)) for low in lows) else None), numbers


def _placeholder(expr: Any) -> te.Tensor:
    return te.placeholder(tuple(expr.ty.shape), str(expr.ty.dtype))


def _is(function: tirx.PrimFunc, inputs: list[te.Tensor], output: te.Tensor) -> bool:
    """Whether a TIR function computes `output` of `inputs` just as TVM's operator library does."""
    return bool(
        structural_equal(function.body, te.create_prim_func([*inputs, output], "int64").body, map_free_vars=True)
    )
