"""Relay -> `codegen.offload.operator.Operator`: reads the attributes, constants and types of one matched form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relay

from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.codegen.offload.attributes import Widths
from tvm_re2na.codegen.offload.operator import Operator, Rescale, Tensor, by_kind
from tvm_re2na.frontends.common import description
from tvm_re2na.frontends.common.description import BYTE, CLAMPS, EVERYTHING, EXTREMA, Bounds, WindowGeometry
from tvm_re2na.frontends.common.moving import Describe, describers
from tvm_re2na.frontends.common.pairs import PAIRS, describe_pair
from tvm_re2na.frontends.relay.walk import op_name

Bindings = Mapping[relay.Var, relay.Expr]


@dataclass(frozen=True)
class Parts:
    """The calls of a matched form, from its result backwards; those that are not there are None."""

    after: tuple[relay.Call, ...]
    requantize: relay.Call | None
    before: tuple[relay.Call, ...]
    bias: relay.Call | None
    main: relay.Call
    pad: relay.Call | None


def describe(kind: str, expr: relay.Expr, bindings: Bindings | None = None) -> Operator:
    """The neutral description of `expr`, a typed expression matched by the pattern of `kind`.

    `bindings` tells what the caller passes for the parameters of a composite function.
    """
    return _DESCRIBERS[kind](expr, bindings or {})


def foldable_padding(expr: relay.Expr) -> bool:
    """Whether the nn.pad before a convolution is plain zeros around the image, so that it can be part of the window."""
    padding = parts_of(expr).pad
    if padding is None:
        return False
    value = scalar_of(padding.args[1])
    widths = _widths(padding)
    plain = widths is not None and widths.channels == (0, 0)
    return value == 0 and plain and dtype_of(padding) == "int8"


def parts_of(expr: relay.Expr) -> Parts:
    """Take a linear form apart."""
    after, node = _take_clamps(expr)
    requantize = node if op_name(node) == "qnn.requantize" else None
    before: tuple[relay.Call, ...] = ()
    if requantize is not None:
        before, node = _take_clamps(requantize.args[0])
    bias = node if op_name(node) in ("nn.bias_add", "add") else None
    main = bias.args[0] if bias is not None else node
    data = main.args[0]
    padding = data if op_name(main) == "qnn.conv2d" and op_name(data) == "nn.pad" else None
    return Parts(after, requantize, before, bias, main, padding)


def array_of(expr: relay.Expr) -> npt.NDArray[Any] | None:
    """The value of a constant, otherwise None."""
    return np.asarray(expr.data.numpy()) if isinstance(expr, relay.Constant) else None


def scalar_of(expr: relay.Expr) -> Any:
    """The one number that all elements of a constant have, otherwise None."""
    return description.one_number(array_of(expr))


def shape_of(expr: relay.Expr) -> tuple[int | None, ...]:
    """The shape from the expression's type; unknown sizes are None."""
    return sizes_of(expr.checked_type)


def sizes_of(kind: tvm.ir.TensorType) -> tuple[int | None, ...]:
    return tuple(int(size) if isinstance(size, tvm.tir.IntImm) else None for size in kind.shape)


def dtype_of(expr: relay.Expr) -> str:
    return str(expr.checked_type.dtype)


def _conv2d(expr: relay.Expr, bindings: Bindings) -> Operator:
    parts = parts_of(expr)
    extra = (_widths(parts.pad) if parts.pad is not None else None) or Widths()
    geometry = description.conv2d_geometry(parts.main.attrs, shape_of(parts.main.args[1]), extra.image)
    return _linear("conv2d", expr, parts, bindings, geometry)


def _conv2d_transpose(expr: relay.Expr, bindings: Bindings) -> Operator:
    parts = parts_of(expr)
    geometry = description.transposed_geometry(parts.main.attrs, shape_of(parts.main.args[1]))
    op = _linear("conv2d_transpose", expr, parts, bindings, geometry)
    return op if op.weight is None else replace(op, weight=as_convolution(op.weight, op.groups))


def _dense(expr: relay.Expr, bindings: Bindings) -> Operator:
    return _linear("dense", expr, parts_of(expr), bindings, WindowGeometry())


def _linear(kind: str, expr: relay.Expr, parts: Parts, bindings: Bindings, geometry: WindowGeometry) -> Operator:
    data = parts.pad.args[0] if parts.pad is not None else parts.main.args[0]
    weight = array_of(parts.main.args[1])
    rescale = parts.requantize
    channels = shape_of(parts.main)[1] or 0
    zeros = [parts.main.args[2], parts.main.args[3]]
    rescales: tuple[Rescale, ...] = ()
    if rescale is not None:
        zeros += [rescale.args[2], rescale.args[4]]
        ties_away = str(rescale.attrs.rounding) == "TONEAREST"
        rescales = (Rescale(_scales(rescale.args[1]), _scales(rescale.args[3]), ties_away),)
    return Operator(
        kind,
        description.linear_inputs(_tensor(data, bindings), weight, dtype_of(parts.main.args[1])),
        _tensor(expr, bindings),
        rescales,
        tuple(scalar_of(zero) if array_of(zero) is None or scalar_of(zero) is not None else 1 for zero in zeros),
        weight,
        _bias(parts, channels),
        *geometry,
        _bounds(parts.before),
        _bounds(parts.after, BYTE),
    )


def _bias(parts: Parts, channels: int) -> npt.NDArray[np.int32] | None:
    """The bias as one value per channel; zeros where the form has none, None where it is no such constant."""
    if parts.bias is None:
        return np.zeros(channels, np.int32)
    values = array_of(parts.bias.args[1])
    if values is None or values.dtype != np.int32:
        return None
    rank = len(shape_of(parts.main))
    if op_name(parts.bias) == "nn.bias_add":
        fits = int(parts.bias.attrs.axis) % rank == 1
    else:
        shape = (1,) * (rank - values.ndim) + values.shape
        fits = values.ndim <= rank and all(size == 1 for axis, size in enumerate(shape) if axis != 1)
    return np.broadcast_to(values.reshape(-1), channels).copy() if fits and values.size in (1, channels) else None


def _moving(describe: Describe, expr: relay.Expr, bindings: Bindings) -> Operator:
    after, main = _take_clamps(expr)
    data, result = _tensor(main.args[0], bindings), _tensor(expr, bindings)
    constants = [array_of(operand) for operand in main.args[1:]]
    return describe(main.attrs, constants, data, shape_of(main), result, _bounds(after, BYTE))


def _pair(kind: str, expr: relay.Expr, bindings: Bindings) -> Operator:
    after, main = _take_clamps(expr)
    left, right, *constants = main.args
    data = [_tensor(operand, bindings) for operand in (left, right)]
    scales, zeros = [array_of(constant) for constant in constants[::2]], [scalar_of(zero) for zero in constants[1::2]]
    return describe_pair(kind, data, scales, zeros, _tensor(expr, bindings), _bounds(after, BYTE))


def _concat(expr: relay.Expr, bindings: Bindings) -> Operator:
    fields = list(expr.args[0].fields)
    data = [_tensor(field, bindings) for field in fields]
    return description.concat(expr.attrs, data, description.positions(fields, list(bindings)), _tensor(expr, bindings))


def _pad(expr: relay.Expr, bindings: Bindings) -> Operator:
    data, result = _tensor(expr.args[0], bindings), _tensor(expr, bindings)
    return description.pad(data, result, _widths(expr), scalar_of(expr.args[1]))


def _clip(expr: relay.Expr, bindings: Bindings) -> Operator:
    bounds = _bounds((expr,), BYTE)
    return Operator("clip", (_tensor(expr.args[0], bindings),), _tensor(expr, bindings), after=bounds)


def _lookup(expr: relay.Expr, bindings: Bindings) -> Operator:
    data = expr.args[1].args[0].args[0]
    return description.lookup(_tensor(data, bindings), _tensor(expr, bindings), array_of(expr.args[0]))


_DESCRIBERS: dict[str, Callable[[relay.Expr, Bindings], Operator]] = by_kind(
    conv2d=_conv2d,
    conv2d_transpose=_conv2d_transpose,
    dense=_dense,
    **{kind: partial(_pair, kind) for kind in PAIRS},
    concat=_concat,
    pad=_pad,
    clip=_clip,
    lookup=_lookup,
    **describers(_moving),
)


def _take_clamps(expr: relay.Expr) -> tuple[tuple[relay.Call, ...], relay.Expr]:
    """The clamps at the end of a form, first to last, and what they clamp."""
    clamps: list[relay.Call] = []
    while _is_clamp(expr):
        clamps.insert(0, expr)
        expr = expr.args[0]
    return tuple(clamps), expr


def _is_clamp(expr: relay.Expr) -> bool:
    """Of one tensor: a `maximum` may be of two."""
    name = op_name(expr)
    return name in CLAMPS and (name not in EXTREMA or array_of(expr.args[1]) is not None)


def is_pair(name: str, expr: relay.Expr) -> bool:
    """Whether the operator `name` of two tensors stands before the clamps at the end of a form."""
    return op_name(_take_clamps(expr)[1]) == name


def _bounds(clamps: tuple[relay.Call, ...], start: Bounds = EVERYTHING) -> Bounds | None:
    """What a chain of clamps leaves of `start`; None where a bound is no whole number of 32 bits, or not constant."""
    return description.clamped(start, ((_whole(low), _whole(high)) for low, high in map(_clamp_bounds, clamps)))


def _whole(bound: float | None) -> int | None:
    whole = bound is not None and float(bound).is_integer() and EVERYTHING[0] <= bound <= EVERYTHING[1]
    return int(bound) if bound is not None and whole else None


def _clamp_bounds(clamp: relay.Call) -> tuple[float | None, float | None]:
    name = op_name(clamp)
    if name == "clip":
        return float(clamp.attrs.a_min), float(clamp.attrs.a_max)
    if name == "nn.relu":
        return 0, EVERYTHING[1]
    bound = scalar_of(clamp.args[1]) if len(shape_of(clamp)) == len(shape_of(clamp.args[0])) else None
    return (bound, EVERYTHING[1]) if name == "maximum" else (EVERYTHING[0], bound)


def _widths(call: relay.Call) -> Widths | None:
    """Of an nn.pad of channels, rows and columns by a constant; None for any other."""
    return description.constant_widths(call.attrs, call.attrs.pad_width)


def _tensor(expr: relay.Expr, bindings: Bindings) -> Tensor:
    bound = bindings[expr] if isinstance(expr, relay.Var) and expr in bindings else expr
    return Tensor(shape_of(expr), dtype_of(expr), isinstance(bound, relay.Constant))


def _scales(expr: relay.Expr) -> tuple[float, ...]:
    return description.scales_of(array_of(expr))
