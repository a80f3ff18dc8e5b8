"""What TVM's importer writes in several operators, where Relax has one for it: blocks of pixels out of channels.

TVM 0.27 has that operator, but asks its library for a function that is not there: what it computes is said here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax, te

from tvm_re2na.frontends.relax.walk import bindings_of, op_name, shape_of

# the axes of (N, channel, row of the block, column, H, W), or of (N, row, column, channel, H, W), in the order of the result
_CRD, _DCR = [0, 1, 4, 2, 5, 3], [0, 3, 4, 1, 5, 2]


_EXTREMA = {"max": relax.op.maximum, "min": relax.op.minimum}
_CANDIDATES = ("permute_dims", *_EXTREMA)
_FIRST = 100  # of the functions that are registered for one purpose, which is taken: TVM's own has 10


def as_one(mod: tvm.IRModule) -> tvm.IRModule:
    """The module, one operator in the place of several."""
    if not any(op_name(value) in _CANDIDATES for _, value in bindings_of(mod["main"])):
        return mod
    mod = mod.clone()
    mod["main"] = _Joined(mod).visit_expr(mod["main"])
    return relax.transform.DeadCodeElimination(["main"])(mod)


@relax.expr_functor.mutator
class _Joined(relax.PyExprMutator):  # type: ignore[misc]
    """`reshape(permute_dims(reshape(x)))` -> `pixel_shuffle(x)`, where the blocks' channels stand last behind a `take`;
    `max(stack(x, y), axis=0)` -> `maximum(x, y)`, the same of `min`."""

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = super().visit_call_(call)
        if op_name(call) in _EXTREMA:
            return self._extremum(call)
        return self._shuffled(call) if op_name(call) == "reshape" else call

    def _extremum(self, call: tvm.ir.Call) -> Any:
        """Operands are spread to one shape before they are stacked, which `maximum` does as well."""
        stack = self._value(call.args[0])
        axes = [int(axis) for axis in call.attrs.axis or ()]
        if op_name(stack) != "stack" or int(stack.attrs.axis or 0) != 0 or axes != [0] or call.attrs.keepdims:
            return call
        fields = (self._value(field) for field in self._value(stack.args[0]).fields)
        operands = [
            field.args[0] if op_name(field) == "broadcast_to" else self.builder_.emit(field) for field in fields
        ]
        result = operands[0]
        for operand in operands[1:]:
            made = _EXTREMA[op_name(call)](result, operand)
            result = self.builder_.emit(relax.Call(made.op, list(made.args), made.attrs, made.ty_args, call.span))
        return result

    def _value(self, expr: Any) -> Any:
        bound = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        return expr if bound is None else bound

    def _shuffled(self, call: tvm.ir.Call) -> Any:
        transposed = self._made_by(call, "reshape", "permute_dims")
        apart = self._made_by(transposed, "permute_dims", "reshape")
        if apart is None:
            return call
        order = [int(axis) for axis in transposed.attrs.axes or ()]
        given, between, result = shape_of(apart.args[0]), shape_of(apart), shape_of(call)
        if order not in (_CRD, _DCR) or None in (*given, *between, *result) or len(given) != 4:
            return call
        channels, down, across = between[1:4] if order == _CRD else (between[3], *between[1:3])
        batch, _, height, width = given
        block = down == across and result == (batch, channels, (height or 0) * (down or 0), (width or 0) * (down or 0))
        if not block or between[4:] != given[2:]:
            return call
        data = apart.args[0]
        if order == _DCR:
            numbers = np.arange(given[1] or 0).reshape(-1, channels or 0).T.ravel()
            data = self.builder_.emit(relax.op.take(data, relax.const(numbers, "int64"), 1, mode="clip"))
        shuffled = relax.op.nn.pixel_shuffle(data, down)
        return relax.Call(shuffled.op, list(shuffled.args), shuffled.attrs, shuffled.ty_args, call.span)

    def _made_by(self, call: Any, op: str, before: str) -> Any:
        """What makes the data of `call`, where both are of these operators; None otherwise."""
        if call is None or op_name(call) != op:
            return None
        made = self._value(call.args[0])
        return made if op_name(made) == before else None


def _shuffled(x: te.Tensor, size: int) -> te.Tensor:
    """As ONNX's DepthToSpace of mode CRD."""
    batch, channels, height, width = x.shape
    return te.compute(
        (batch, channels // (size * size), height * size, width * size),
        lambda n, c, y, z: x[n, (c * size + y % size) * size + z % size, y // size, z // size],
        name="pixel_shuffle",
    )


def _computed(builder: relax.BlockBuilder, call: tvm.ir.Call) -> Any:
    return builder.call_te(_shuffled, call.args[0], int(call.attrs.upscale_factor))


tvm.ir.register_op_attr("relax.nn.pixel_shuffle", "FLegalize", _computed, level=_FIRST)
