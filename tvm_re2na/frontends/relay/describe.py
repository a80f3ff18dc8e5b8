"""Relay -> `codegen.offload.operator.Operator`: reads the attributes, constants and types of one matched form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relay

from tvm_re2na.codegen.arithmetic import compose
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.offload.attributes import padding_of, rounded_up, spatial_padding, two
from tvm_re2na.codegen.offload.operator import INT32, Operator, Rescale, Tensor

Bounds = tuple[int, int]
EVERYTHING: Bounds = (int(INT32.min), int(INT32.max))
CLAMPS = ("nn.relu", "clip", "maximum", "minimum")
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
    pad = parts_of(expr).pad
    if pad is None:
        return False
    value = scalar_of(pad.args[1])
    return value == 0 and _spatial_padding(pad) is not None and dtype_of(pad) == "int8"


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
    pad = data if op_name(main) == "qnn.conv2d" and op_name(data) == "nn.pad" else None
    return Parts(after, requantize, before, bias, main, pad)


def op_name(expr: relay.Expr) -> str:
    """The operator's name of a call, otherwise an empty string."""
    return str(expr.op.name) if isinstance(expr, relay.Call) and isinstance(expr.op, tvm.ir.Op) else ""


def array_of(expr: relay.Expr) -> npt.NDArray[Any] | None:
    """The value of a constant, otherwise None."""
    return np.asarray(expr.data.numpy()) if isinstance(expr, relay.Constant) else None


def scalar_of(expr: relay.Expr) -> Any:
    """The one number that all elements of a constant have, otherwise None."""
    values = array_of(expr)
    if values is None or values.size == 0 or np.any(values != values.flat[0]):
        return None
    return values.flat[0].item()


def shape_of(expr: relay.Expr) -> tuple[int | None, ...]:
    """The shape from the expression's type; unknown sizes are None."""
    return tuple(int(size) if isinstance(size, tvm.tir.IntImm) else None for size in expr.checked_type.shape)


def dtype_of(expr: relay.Expr) -> str:
    return str(expr.checked_type.dtype)


def _conv2d(expr: relay.Expr, bindings: Bindings) -> Operator:
    parts = parts_of(expr)
    attrs = parts.main.attrs
    padding = padding_of(attrs.padding)
    if parts.pad is not None:
        extra = _spatial_padding(parts.pad) or (0, 0, 0, 0)
        padding = tuple(a + b for a, b in zip(padding, extra, strict=True))  # type: ignore[assignment]
    kernel = shape_of(parts.main.args[1])[2:] if attrs.kernel_layout == "OIHW" else (1, 1)
    window = Window((kernel[0] or 0, kernel[1] or 0), two(attrs.strides), padding, two(attrs.dilation))
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout))
    return _linear("conv2d", expr, parts, bindings, window, int(attrs.groups), layouts)


def _dense(expr: relay.Expr, bindings: Bindings) -> Operator:
    return _linear("dense", expr, parts_of(expr), bindings, None, 1, ())


def _linear(
    kind: str,
    expr: relay.Expr,
    parts: Parts,
    bindings: Bindings,
    window: Window | None,
    groups: int,
    layouts: tuple[str, ...],
) -> Operator:
    data = parts.pad.args[0] if parts.pad is not None else parts.main.args[0]
    weight = array_of(parts.main.args[1])
    rescale = parts.requantize
    channels = shape_of(parts.main.args[1])[0] or 0
    zeros = [parts.main.args[2], parts.main.args[3]]
    rescales: tuple[Rescale, ...] = ()
    if rescale is not None:
        zeros += [rescale.args[2], rescale.args[4]]
        ties_away = str(rescale.attrs.rounding) == "TONEAREST"
        rescales = (Rescale(_scales(rescale.args[1]), _scales(rescale.args[3]), ties_away),)
    weight_dtype = dtype_of(parts.main.args[1])
    inputs = (_tensor(data, bindings), *([] if weight is not None else [Tensor((1, 1), weight_dtype)]))
    return Operator(
        kind,
        inputs,
        _tensor(expr, bindings),
        rescales,
        tuple(scalar_of(zero) if array_of(zero) is None or scalar_of(zero) is not None else 1 for zero in zeros),
        weight,
        _bias(parts, channels),
        window,
        groups,
        layouts,
        _bounds(parts.before),
        _bounds(parts.after, (-128, 127)),
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


def _max_pool2d(expr: relay.Expr, bindings: Bindings) -> Operator:
    after, main = _take_clamps(expr)
    attrs = main.attrs
    window = Window(two(attrs.pool_size), two(attrs.strides), padding_of(attrs.padding), two(attrs.dilation))
    data, layouts = main.args[0], (str(attrs.layout), str(attrs.out_layout))
    if attrs.ceil_mode and layouts[0] == "NCHW":
        window = rounded_up(window, shape_of(data), shape_of(main))
    bounds = _bounds(after, (-128, 127))
    return Operator(
        "max_pool2d", (_tensor(data, bindings),), _tensor(expr, bindings), window=window, layouts=layouts, after=bounds
    )


def _add(expr: relay.Expr, bindings: Bindings) -> Operator:
    after, main = _take_clamps(expr)
    left, right, *constants = main.args
    scales = [_scales(constant) for constant in constants[::2]]
    return Operator(
        "add",
        (_tensor(left, bindings), _tensor(right, bindings)),
        _tensor(expr, bindings),
        (Rescale(scales[0], scales[2]), Rescale(scales[1], scales[2])),
        tuple(scalar_of(zero) for zero in constants[1::2]),
        after=_bounds(after, (-128, 127)),
    )


def _reshape(expr: relay.Expr, bindings: Bindings) -> Operator:
    return Operator("reshape", (_tensor(expr.args[0], bindings),), _tensor(expr, bindings))


def _pad(expr: relay.Expr, bindings: Bindings) -> Operator:
    padding = _spatial_padding(expr)
    window = Window((1, 1), padding=padding) if padding is not None else None
    inputs, output = (_tensor(expr.args[0], bindings),), _tensor(expr, bindings)
    return Operator("pad", inputs, output, window=window, pad_value=scalar_of(expr.args[1]))


def _clip(expr: relay.Expr, bindings: Bindings) -> Operator:
    bounds = _bounds((expr,), (-128, 127))
    return Operator("clip", (_tensor(expr.args[0], bindings),), _tensor(expr, bindings), after=bounds)


_DESCRIBERS: dict[str, Callable[[relay.Expr, Bindings], Operator]] = {
    "conv2d": _conv2d,
    "dense": _dense,
    "max_pool2d": _max_pool2d,
    "add": _add,
    "reshape": _reshape,
    "pad": _pad,
    "clip": _clip,
}


def _take_clamps(expr: relay.Expr) -> tuple[tuple[relay.Call, ...], relay.Expr]:
    """The clamps at the end of a form, first to last, and what they clamp."""
    clamps: list[relay.Call] = []
    while op_name(expr) in CLAMPS:
        clamps.insert(0, expr)
        expr = expr.args[0]
    return tuple(clamps), expr


def _bounds(clamps: tuple[relay.Call, ...], start: Bounds = EVERYTHING) -> Bounds | None:
    """What a chain of clamps leaves of `start`; None where a bound is no whole number of 32 bits, or not constant."""
    for clamp in clamps:
        low, high = _clamp_bounds(clamp)
        if low is None or high is None or low != int(low) or high != int(high) or low > high:
            return None
        if low < INT32.min or high > INT32.max:
            return None
        start = compose(start, (int(low), int(high)))
    return start


def _clamp_bounds(clamp: relay.Call) -> tuple[float | None, float | None]:
    name = op_name(clamp)
    if name == "clip":
        return float(clamp.attrs.a_min), float(clamp.attrs.a_max)
    if name == "nn.relu":
        return 0, EVERYTHING[1]
    bound = scalar_of(clamp.args[1]) if len(shape_of(clamp)) == len(shape_of(clamp.args[0])) else None
    return (bound, EVERYTHING[1]) if name == "maximum" else (EVERYTHING[0], bound)


def _spatial_padding(pad: relay.Call) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of an nn.pad of rows and columns; None for any other."""
    widths = [(int(low), int(high)) for low, high in pad.attrs.pad_width]
    return spatial_padding(widths) if str(pad.attrs.pad_mode) == "constant" else None


def _tensor(expr: relay.Expr, bindings: Bindings) -> Tensor:
    bound = bindings[expr] if isinstance(expr, relay.Var) and expr in bindings else expr
    return Tensor(shape_of(expr), dtype_of(expr), isinstance(bound, relay.Constant))


def _scales(expr: relay.Expr) -> tuple[float, ...]:
    values = array_of(expr)
    return () if values is None else tuple(float(value) for value in np.unique(values))
