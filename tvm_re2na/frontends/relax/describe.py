"""Relax -> `codegen.offload.operator.Operator`: reads the attributes, constants and types of one matched form.

Relax keeps the QDQ form: an operator in floating point between `dequantize` and `quantize`. What is described is the integer
operator that it stands for, the same that TVM's FakeQuantizationToInteger makes of it in Relay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.offload.operator import INT32, Operator, Rescale, Tensor, by_kind
from tvm_re2na.frontends.common import description
from tvm_re2na.frontends.common.description import CLAMPS, EVERYTHING, Bounds, Widths, WindowGeometry
from tvm_re2na.frontends.common.moving import MOVING, Describe, describers
from tvm_re2na.frontends.relax.walk import (
    Expr,
    Values,
    array_of,
    dtype_of,
    is_constant,
    op_name,
    scalar_of,
    shape_of,
    value_of,
)


@dataclass(frozen=True)
class Quantity:
    """One operand of a `quantize` or `dequantize`, with its scale and zero point."""

    data: Expr
    scale: npt.NDArray[Any] | None
    zero: int | None

    @property
    def scales(self) -> tuple[float, ...]:
        return description.different(self.scale)


@dataclass(frozen=True)
class Parts:
    """A matched form taken apart: `clip(quantize(clamps(main(...))))`, with what is added to a linear operator.

    `after` holds the clamps of the clips, which stand between a `dequantize` and a `quantize` that have the scale of the result.
    """

    result: Expr
    output: Quantity
    after: tuple[Expr, ...]
    clamps: tuple[Expr, ...]
    bias: Expr | None
    main: Expr


def describe(kind: str, result: Expr, values: Values) -> Operator:
    """The neutral description of the form of `kind` whose last call is `result`; `values` tells what its variables are bound to."""
    return _DESCRIBERS[kind](_take_apart(kind, result, values), values)


def is_form(kind: str, result: Expr, values: Values) -> bool:
    """Whether the form amounts to one integer operator: what only moves, compares or clamps numbers must keep their scale."""
    parts = _take_apart(kind, result, values)
    if not all(_keeps_scale(clip, values) for clip in _clips(kind, result, values)):
        return False
    if kind == "conv2d":
        padding = _padding_before(parts.main, values)
        return padding is None or _foldable(padding, values)
    return kind not in (*MOVING, "pad") or _same_scale(parts.main.args[0], parts.result, values)


def _take_apart(kind: str, result: Expr, values: Values) -> Parts:
    after: tuple[Expr, ...] = ()
    inner = value_of(result, values)
    for clip in _clips(kind, result, values):
        clamps, inner = _clamps(clip, values)
        after = (*clamps, *after)
        inner = _quantity(inner, values).data
    if kind == "clip":
        return Parts(result, _quantity(result, values), after, (), None, inner)
    clamps, node = _clamps(inner, values)
    bias = node if kind in ("conv2d", "dense") and op_name(node) == "add" else None
    main = node if bias is None else value_of(bias.args[0], values)
    return Parts(result, _quantity(result, values), after, clamps, bias, main)


def _clips(kind: str, result: Expr, values: Values) -> Iterator[Expr]:
    """The `quantize` of each clip at the end of a form, last first; a form of kind "clip" is one."""
    quantize = value_of(result, values)
    while op_name(quantize) == "quantize":
        clamps, inner = _clamps(quantize, values)
        if not clamps or op_name(inner) != "dequantize":
            return
        yield quantize
        quantize = value_of(inner.args[0], values)
        if kind == "clip":
            return


def _clamps(quantize: Expr, values: Values) -> tuple[tuple[Expr, ...], Expr]:
    """The clamps before a `quantize`, first to last, and what they clamp."""
    clamps: list[Expr] = []
    node = value_of(quantize.args[0], values)
    while op_name(node) in CLAMPS:
        clamps.insert(0, node)
        node = value_of(node.args[0], values)
    return tuple(clamps), node


def _padding_before(conv2d: Expr, values: Values) -> Expr | None:
    """The `quantize` of a padding that belongs to the form of a convolution."""
    quantize = _quantity(conv2d.args[0], values).data
    return quantize if op_name(quantize) == "quantize" else None


def _foldable(quantize: Expr, values: Values) -> bool:
    """Whether a padding is plain zeros around the image, so that it can be part of the window."""
    padding = value_of(quantize.args[0], values)
    data = _quantity(padding.args[0], values)
    zeros = float(padding.attrs.pad_value) == 0 and data.zero == 0
    return zeros and _widths(padding) is not None and _same_scale(padding.args[0], quantize, values)


def _widths(call: Expr) -> Widths | None:
    """(top, left, bottom, right) of an `nn.pad` of rows and columns by a constant; None for any other."""
    sizes = list(call.attrs.pad_width)
    return description.constant_widths(call.attrs, zip(sizes[::2], sizes[1::2], strict=True))


def _keeps_scale(clip: Expr, values: Values) -> bool:
    return _same_scale(_clamps(clip, values)[1], clip, values)


def _same_scale(one: Expr, other: Expr, values: Values) -> bool:
    first, second = _quantity(one, values), _quantity(other, values)
    return len(first.scales) == 1 and (first.scales, first.zero) == (second.scales, second.zero)


def _quantity(expr: Expr, values: Values) -> Quantity:
    call = value_of(expr, values)
    data, scale, zero = call.args
    return Quantity(value_of(data, values), array_of(value_of(scale, values)), scalar_of(value_of(zero, values)))


def _conv2d(parts: Parts, values: Values) -> Operator:
    weight, padding = _quantity(parts.main.args[1], values), _padding_before(parts.main, values)
    extra = (_widths(value_of(padding.args[0], values)) if padding is not None else None) or (0, 0, 0, 0)
    geometry = description.conv2d_geometry(parts.main.attrs, shape_of(weight.data), extra)
    return _linear("conv2d", parts, values, weight, array_of(weight.data), geometry)


def _dense(parts: Parts, values: Values) -> Operator:
    operand = value_of(parts.main.args[1], values)
    transposed = op_name(operand) == "permute_dims"
    weight = _quantity(operand.args[0] if transposed else operand, values)
    array = array_of(weight.data)
    if array is not None and not transposed:
        array = np.ascontiguousarray(array.T)
    return _linear("dense", parts, values, weight, array, WindowGeometry())


def _linear(
    kind: str,
    parts: Parts,
    values: Values,
    weight: Quantity,
    array: npt.NDArray[Any] | None,
    geometry: WindowGeometry,
) -> Operator:
    data = _quantity(parts.main.args[0], values)
    padding = _padding_before(parts.main, values)
    if padding is not None:
        data = _quantity(value_of(padding.args[0], values).args[0], values)
    scale = None if data.scale is None or weight.scale is None else data.scale * weight.scale
    channels = shape_of(parts.main)[1] or 0
    source = description.different(scale)
    return Operator(
        kind,
        description.linear_inputs(_tensor(data), array, dtype_of(weight.data)),
        _tensor_of(parts.result),
        (Rescale(source, parts.output.scales),),
        (data.zero, weight.zero, parts.output.zero),
        array,
        _bias(parts, values, scale, channels),
        *geometry,
        _bounds(parts.clamps, values, source),
        _after(parts, values, ()),
    )


def _bias(parts: Parts, values: Values, scale: npt.NDArray[Any] | None, channels: int) -> npt.NDArray[np.int32] | None:
    """The bias in units of the sum, one value per channel; zeros where there is none, None where it is no such constant."""
    if parts.bias is None:
        return np.zeros(channels, np.int32)
    node = value_of(parts.bias.args[1], values)
    if op_name(node) == "reshape":
        if shape_of(node) != (1, channels, 1, 1):
            return None
        node = value_of(node.args[0], values)
    if op_name(node) != "dequantize":
        return _on_grid(array_of(node), scale, channels)
    quantity = _quantity(node, values)
    array = array_of(quantity.data)
    if array is None or array.dtype != np.int32 or array.shape != (channels,) or quantity.zero != 0:
        return None
    same = scale is not None and quantity.scale is not None and np.all(quantity.scale == scale.reshape(-1))
    return array if same else None


def _on_grid(
    bias: npt.NDArray[Any] | None, scale: npt.NDArray[Any] | None, channels: int
) -> npt.NDArray[np.int32] | None:
    """A bias in floating point in units of the sum; None where it is no whole number of 32 bits of them."""
    if bias is None or scale is None or bias.shape != (channels,):
        return None
    steps = bias.astype(np.float64) / scale.reshape(-1).astype(np.float64)
    whole = np.all((steps == np.rint(steps)) & (steps >= INT32.min) & (steps <= INT32.max))
    return steps.astype(np.int32) if whole else None


def _moving(describe: Describe, parts: Parts, values: Values) -> Operator:
    data, result = _tensor(_quantity(parts.main.args[0], values)), _tensor_of(parts.result)
    return describe(parts.main.attrs, data, shape_of(parts.main), result, _after(parts, values, parts.clamps))


def _add(parts: Parts, values: Values) -> Operator:
    operands = [_quantity(argument, values) for argument in parts.main.args]
    return Operator(
        "add",
        tuple(_tensor(operand) for operand in operands),
        _tensor_of(parts.result),
        tuple(Rescale(operand.scales, parts.output.scales) for operand in operands),
        (*(operand.zero for operand in operands), parts.output.zero),
        after=_after(parts, values, parts.clamps),
    )


def _pad(parts: Parts, values: Values) -> Operator:
    data = _quantity(parts.main.args[0], values)
    value = _steps(float(parts.main.attrs.pad_value), data.scales[0], data.zero or 0)
    return description.pad(_tensor(data), _tensor_of(parts.result), _widths(parts.main), value)


def _clip(parts: Parts, values: Values) -> Operator:
    after = _after(parts, values, ())
    data = Tensor(shape_of(parts.main), dtype_of(parts.main), is_constant(parts.main))
    return Operator("clip", (data,), _tensor_of(parts.result), after=after)


_DESCRIBERS: dict[str, Callable[[Parts, Values], Operator]] = by_kind(
    conv2d=_conv2d, dense=_dense, add=_add, pad=_pad, clip=_clip, **describers(_moving)
)


def _after(parts: Parts, values: Values, clamps: tuple[Expr, ...]) -> Bounds | None:
    """What clamps leave of the result."""
    limits = np.iinfo(dtype_of(parts.result))
    everything = int(limits.min), int(limits.max)
    return _bounds((*clamps, *parts.after), values, parts.output.scales, parts.output.zero, everything)


def _bounds(
    clamps: tuple[Expr, ...],
    values: Values,
    scales: tuple[float, ...],
    zero: int | None = 0,
    start: Bounds = EVERYTHING,
) -> Bounds | None:
    """What a chain of clamps leaves of `start`, in steps of the scale; None where a bound is no constant of 32 bits.

    A bound between two steps becomes the one nearer to 0, as in TVM's FakeQuantizationToInteger.
    """
    if not clamps:
        return start
    if len(scales) != 1 or zero is None:
        return None
    found = (_clamp_bounds(clamp, values) for clamp in clamps)
    return description.clamped(
        start, ((_steps(low, scales[0], zero), _steps(high, scales[0], zero)) for low, high in found)
    )


def _steps(bound: float | None, scale: float, zero: int) -> int | None:
    if bound is None or np.isnan(bound) or scale <= 0:
        return None
    if np.isinf(bound):
        return EVERYTHING[bound > 0]
    steps = int(float(bound) / scale + zero)
    return steps if EVERYTHING[0] <= steps <= EVERYTHING[1] else None


def _clamp_bounds(clamp: Expr, values: Values) -> tuple[float | None, float | None]:
    name, infinity = op_name(clamp), float("inf")
    if name == "nn.relu":
        return 0.0, infinity
    if name == "clip":
        low, high = (scalar_of(argument) for argument in clamp.args[1:])
        return low, high
    bound = scalar_of(value_of(clamp.args[1], values))
    return (bound, infinity) if name == "maximum" else (-infinity, bound)


def _tensor(quantity: Quantity) -> Tensor:
    return Tensor(shape_of(quantity.data), dtype_of(quantity.data), is_constant(quantity.data))


def _tensor_of(expr: Expr) -> Tensor:
    return Tensor(shape_of(expr), dtype_of(expr))
