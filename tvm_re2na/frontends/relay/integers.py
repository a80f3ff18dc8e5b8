"""Integer operators for the QDQ forms of a Relay module: what TVM's pass FakeQuantizationToInteger is for.

That pass takes each operator by itself, and of some it makes another function: a LeakyReLU becomes a ReLU, a HardSwish computes in
steps of its result; one that it does not know leaves the whole module in floating point. Here a form is what `common.qdq` says it
is, for both TVMs; everything else stays in floating point between its `dequantize` and its `quantize`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relay

from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.codegen.offload.operator import LINEAR, Operator, by_kind
from tvm_re2na.frontends.common import description, qdq
from tvm_re2na.frontends.common.moving import MOVING
from tvm_re2na.frontends.common.pairs import PAIRS
from tvm_re2na.frontends.common.qdq import QdqParts
from tvm_re2na.frontends.common.tables import ByteFunction, byte_function
from tvm_re2na.frontends.relay.describe import array_of, dtype_of, shape_of
from tvm_re2na.frontends.relay.reader import RelayReader
from tvm_re2na.frontends.relay.walk import all_of, attributes_of, op_name, operands_of

Expr = Any  # tvm.relay.Expr; TVM carries no types
_KINDS = {
    **{name: kind for kind, moving in MOVING.items() for name in moving.relay},
    **{"nn.conv2d": "conv2d", "nn.conv2d_transpose": "conv2d_transpose", "nn.dense": "dense"},
    **{pair.name: kind for kind, pair in PAIRS.items()},
    **{"nn.pad": "pad", "concatenate": "concat"},
}
# clamps are no part of these
_UNCLAMPED = {"pad", "concat", *(kind for kind, moving in MOVING.items() if not moving.clamped)}
_SUMS = ("nn.conv2d", "nn.conv2d_transpose", "nn.dense")
_READER = RelayReader()


def to_integers(mod: tvm.IRModule) -> tvm.IRModule:
    """A typed module with every QDQ form of its `main` in QNN operators."""
    mod = _moved_in_integers(mod)
    order = all_of(mod["main"])
    forms = {form.result: form for form in _forms(order) if qdq.has_integer_form(form.op)}
    return _rewritten(mod, order, _Integers(forms))


def _rewritten(mod: tvm.IRModule, order: list[Expr], mutator: relay.ExprMutator) -> tvm.IRModule:
    """With another `main`, of which `order` is all."""
    for expr in order:  # what an expression is made of has been visited before it: no deep recursion
        mutator.visit(expr)
    mod = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions)
    mod["main"] = mutator.visit(mod["main"])
    return relay.transform.InferType()(mod)


def _moved_in_integers(mod: tvm.IRModule) -> tvm.IRModule:
    """What only moves or compares elements comes before the `dequantize` of its data, where no `quantize` follows it at once."""
    order = all_of(mod["main"])
    readers = (operand for expr in order if not _is_followed(expr) for operand in operands_of(expr))
    if not any(_moves(expr) and op_name(expr.args[0]) == "qnn.dequantize" for expr in readers):
        return mod
    return _rewritten(mod, order, _Moved())


def _is_followed(expr: Expr) -> bool:
    """Whether it belongs to what it reads."""
    return _READER.is_clamp(expr) or op_name(expr) == "qnn.quantize"


def _moves(expr: Expr) -> bool:
    kind = _KINDS.get(op_name(expr))
    return kind in MOVING and MOVING[kind].always


def float_forms(main: relay.Function) -> dict[Expr, tuple[str, Operator]]:
    """What is left of forms that have no integer form: kind and description of each, by its call in floating point."""
    return {form.parts.main: (form.kind, form.op) for form in _forms(all_of(main))}


class _Form(NamedTuple):
    kind: str
    result: relay.Call  # the `quantize`
    parts: QdqParts
    op: Operator


def _forms(order: list[Expr]) -> list[_Form]:
    """Of expressions in execution order."""
    readers = Counter(operand for expr in order for operand in operands_of(expr))
    forms = []
    for call in (expr for expr in order if op_name(expr) == "qnn.quantize"):
        if (function := byte_function(call, _READER)) is not None:
            forms.append(_lookup_form(call, function))
            continue
        kind = _kind(call, readers)
        if kind and qdq.is_form(kind, call, _READER):
            forms.append(_Form(kind, call, qdq.take_apart(kind, call, _READER), qdq.describe(kind, call, _READER)))
    return forms


def _lookup_form(quantize: relay.Call, function: ByteFunction) -> _Form:
    parts = QdqParts("lookup", quantize, _READER.quantity(quantize), (), (), None, function.data)
    op = description.lookup(_READER.tensor(function.data), _READER.tensor(quantize), function.entries)
    return _Form("lookup", quantize, parts, op)


def _kind(quantize: relay.Call, readers: Counter[Expr]) -> str:
    """The kind of the form that ends with `quantize` and of which nothing else is read, or an empty string."""
    clamps, main = qdq.clamps_before(quantize, _READER)
    inner = [*clamps, main]
    if op_name(main) == "qnn.dequantize":
        return "clip" if clamps and all(readers[expr] == 1 for expr in clamps) else ""
    if op_name(main) in ("add", "nn.bias_add") and op_name(main.args[0]) in _SUMS:
        main = main.args[0]
        inner.append(main)
    kind = _KINDS.get(op_name(main), "")
    closed = all(readers[expr] == 1 for expr in inner) and not (clamps and kind in _UNCLAMPED)
    return kind if kind and closed and _is_dequantised(kind, main) else ""


class _Moved(relay.ExprMutator):  # type: ignore[misc]
    """`moving(dequantize(x))` -> `dequantize(moving(x))`, of one scale."""

    def visit_call(self, call: relay.Call) -> Expr:
        new = super().visit_call(call)
        source = new.args[0] if _moves(new) else new
        if op_name(source) != "qnn.dequantize" or source is new or len(_READER.quantity(source).scales) != 1:
            return new
        data, *constants = source.args
        moved = relay.Call(new.op, [data, *new.args[1:]], new.attrs, new.type_args, new.span)
        return relay.Call(source.op, [moved, *constants], source.attrs, source.type_args, source.span)


class _Integers(relay.ExprMutator):  # type: ignore[misc]
    """`quantize(operator(dequantize(x), ...))` -> QNN operators on x; `quantize(dequantize(x))` of one scale -> x."""

    def __init__(self, forms: Mapping[Expr, _Form]) -> None:
        super().__init__()
        self._forms = forms

    def visit_call(self, call: relay.Call) -> Expr:
        form = self._forms.get(call)
        if form is not None:
            data = [self.visit(operand) for operand in _data(form)]
            return _named(_INTEGERS[form.kind](form.op, form.parts, data), data, _source(form).span)
        if op_name(call) == "qnn.quantize" and _undoes(call, call.args[0]):
            return self.visit(call.args[0].args[0])
        return super().visit_call(call)


def _is_dequantised(kind: str, main: relay.Call) -> bool:
    if kind == "concat" and not isinstance(main.args[0], relay.Tuple):
        return False
    operands = qdq.data_of(kind, main, _READER)
    if kind in LINEAR:
        operands.append(_READER.weight(main).dequantized)
    return all(op_name(operand) == "qnn.dequantize" for operand in operands)


def _undoes(quantize: relay.Call, source: Expr) -> bool:
    """Whether `quantize` gives back what `source` dequantised."""
    if op_name(source) != "qnn.dequantize" or dtype_of(source.args[0]) != dtype_of(quantize):
        return False
    return qdq.same_scale(quantize, source, _READER)


def _data(form: _Form) -> list[Expr]:
    """The quantised tensors that a form computes with, but for weights."""
    main = form.parts.main
    if form.kind in ("clip", "lookup"):
        return [main]
    return [operand.args[0] for operand in qdq.data_of(form.kind, main, _READER)]


def _source(form: _Form) -> relay.Call:
    """The call that has the name of the operator: of a function the last."""
    if form.kind == "lookup":
        return form.result.args[0]
    return form.parts.after[0] if form.kind == "clip" else form.parts.main


def _named(result: Expr, data: list[Expr], span: Any) -> Expr:
    """With the span of the operator in the source, from which it has its name, on every call that was made of `data`."""
    if not isinstance(result, relay.Call) or any(result.same_as(operand) for operand in data):
        return result
    arguments = [_named(argument, data, span) for argument in result.args]
    return relay.Call(result.op, arguments, result.attrs, result.type_args, span)


def _conv2d(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    return _linear(relay.qnn.op.conv2d, op, parts, data[0])


def _conv2d_transpose(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    weight = None if op.weight is None else as_convolution(op.weight, op.groups)
    return _linear(relay.qnn.op.conv2d_transpose, replace(op, weight=weight), parts, data[0])


def _dense(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    return _linear(relay.qnn.op.dense, op, parts, data[0])


def _linear(make: Callable[..., Expr], op: Operator, parts: QdqParts, data: Expr) -> Expr:
    """Sums, bias, rescaling, bounds; channels stand on axis 1."""
    weight = _READER.weight(parts.main).dequantized
    _, scale, zero = parts.main.args[0].args
    attrs = {name: value for name, value in attributes_of(parts.main.attrs).items() if name != "out_dtype"}
    sums = make(data, _constant(op.weight), zero, weight.args[2], scale, weight.args[1], **attrs)
    if parts.sums is not None:
        sums = relay.nn.bias_add(sums, _constant(op.bias))
    scales = [np.asarray(array_of(given)) for given in (scale, weight.args[1])]
    source = relay.const(scales[0] * scales[1])
    _, target, target_zero = parts.result.args
    rounding = {"axis": 1, "rounding": "UPWARD", "out_dtype": op.output.dtype}
    return _clamped(op, relay.qnn.op.requantize(sums, source, relay.const(0), target, target_zero, **rounding))


def _clamped(op: Operator, result: Expr) -> Expr:
    limits = np.iinfo(op.output.dtype)
    if op.after is None:
        raise ValueError("a clamp without bounds")
    everything = op.after[0] <= limits.min and op.after[1] >= limits.max
    low, high = (min(max(bound, int(limits.min)), int(limits.max)) for bound in op.after)
    return result if everything else relay.clip(result, low, high)


def _pair(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    pair = PAIRS[op.kind]
    if not pair.qnn:
        return _clamped(op, getattr(relay, pair.name)(*data))
    make = getattr(relay.qnn.op, pair.qnn.removeprefix("qnn."))
    scales = [argument for operand in parts.main.args for argument in operand.args[1:]]
    return _clamped(op, make(*data, *scales, *parts.result.args[1:]))


def _moving(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    main = parts.main
    moved = relay.Call(main.op, [*data, *main.args[1:]], main.attrs, main.type_args)
    return _clamped(op, moved) if MOVING[op.kind].clamped else moved


def _concat(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    del parts
    return relay.concatenate(data, op.axis)


def _pad(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    return relay.nn.pad(*data, parts.main.attrs.pad_width, relay.const(int(op.pad_value or 0), op.output.dtype))


def _clip(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    del parts
    return _clamped(op, data[0])


def _lookup(op: Operator, parts: QdqParts, data: list[Expr]) -> Expr:
    """`parts` has the data as it was, with its type."""
    places = relay.add(relay.cast(data[0], "int32"), relay.const(128))
    found = relay.take(_constant(op.entries), places, axis=0, mode="fast")
    return found if shape_of(parts.main) == op.output.shape else relay.reshape(found, op.output.sizes)


def _constant(values: npt.NDArray[Any] | None) -> Expr:
    if values is None:
        raise ValueError("an operator without a constant")
    return relay.const(values)


_INTEGERS: dict[str, Callable[[Operator, QdqParts, list[Expr]], Expr]] = by_kind(
    conv2d=_conv2d,
    conv2d_transpose=_conv2d_transpose,
    dense=_dense,
    **dict.fromkeys(PAIRS, _pair),
    concat=_concat,
    pad=_pad,
    clip=_clip,
    lookup=_lookup,
    **dict.fromkeys(MOVING, _moving),
)
