"""Integer code for the quantised operators that stay on the CPU.

Relax runs QDQ in floating point, which rounds the sum of an addition once and exact halves to even. Re²Na, and TVM's QNN
operators in Relay, rescale each operand and round halves up. One network must not depend on where an operator runs, so the
operators that are not offloaded get the arithmetic of those that are: that of Relay's QNN operators with rounding "UPWARD".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.codegen.offload.fixed_point import fixed_points
from tvm_re2na.codegen.offload.lowering import beyond_inputs
from tvm_re2na.codegen.offload.operator import Operator, Rescale, by_kind
from tvm_re2na.frontends.common.pairs import PAIRS
from tvm_re2na.frontends.common.qdq import has_integer_form
from tvm_re2na.frontends.relax.kernels import Kernels
from tvm_re2na.frontends.relax.lookups import look_up
from tvm_re2na.kernels.scaling import scaling_of
from tvm_re2na.kernels.selection import COMPUTED

Expr = Any


def integer_function(composite: relax.Function, op: Operator, kernels: Kernels | None = None) -> relax.Function:
    """The function of `composite` in integers; itself, in floating point, where it has no integer form.

    Convolutions and dense layers call `kernels`, whose functions belong into the same module; without, they are made of Relax's
    operators. Both give the same bits.
    """
    if not has_integer_form(op):
        return composite.without_attr("Composite").without_attr("Primitive")
    builder = relax.BlockBuilder()
    parameters = [relax.Var(f"x{i}", parameter.ty) for i, parameter in enumerate(composite.params)]
    with builder.function("main", parameters):
        with builder.dataflow():
            if kernels is not None and op.kind in COMPUTED and len(op.rescales[0].source) == 1:
                result = kernels.call(op, parameters[0], scaling_of(op))
            else:
                result = _FORMS[op.kind](op, parameters)
            result = builder.emit_output(builder.normalize(result))
        builder.emit_func_output(result)
    return builder.get()["main"].without_attr("global_symbol")


def _conv2d(op: Operator, parameters: list[Expr]) -> Expr:
    window = op.window
    if window is None or op.weight is None:
        raise ValueError("a convolution without window or weights")
    sums = relax.op.nn.conv2d(
        _centred(parameters[0], op.zero_points[0]),
        _weights(op),
        strides=list(window.stride),
        padding=list(window.padding),
        dilation=list(window.dilation),
        groups=op.groups,
        out_dtype="int32",
    )
    return _result(op, sums, (1, -1, 1, 1))


def _conv2d_transpose(op: Operator, parameters: list[Expr]) -> Expr:
    window = op.window
    if window is None or op.weight is None:
        raise ValueError("a convolution without window or weights")
    weight = as_convolution(op.weight.astype(np.int32) - int(op.zero_points[1] or 0), op.groups)
    sums = relax.op.nn.conv2d_transpose(
        _centred(parameters[0], op.zero_points[0]),
        relax.const(weight, "int32"),
        strides=list(window.stride),
        padding=list(window.padding),
        output_padding=list(beyond_inputs(op, window)),
        dilation=list(window.dilation),
        groups=op.groups,
        out_dtype="int32",
    )
    return _result(op, sums, (1, -1, 1, 1))


def _dense(op: Operator, parameters: list[Expr]) -> Expr:
    weight = relax.op.permute_dims(_weights(op))
    return _result(op, relax.op.matmul(_centred(parameters[0], op.zero_points[0]), weight, out_dtype="int32"), (1, -1))


def _weights(op: Operator) -> Expr:
    return relax.const(np.asarray(op.weight).astype(np.int32) - int(op.zero_points[1] or 0), "int32")


def _result(op: Operator, sums: Expr, shape: tuple[int, ...]) -> Expr:
    """Bias, clamp, rescale, zero point, and what the result's type holds."""
    bias = relax.const(np.asarray(op.bias, np.int32).reshape(shape), "int32")
    clamped = _clamp(relax.op.add(sums, bias), op.before)
    return _narrow(op, _rescaled(clamped, op.rescales[0], shape))


def _max_pool2d(op: Operator, parameters: list[Expr]) -> Expr:
    window = op.window
    if window is None:
        raise ValueError("a pooling without window")
    pooled = relax.op.nn.max_pool2d(
        parameters[0], list(window.kernel), list(window.stride), list(window.padding), list(window.dilation)
    )
    return _clamp(pooled, op.after)


def _resize2d(op: Operator, parameters: list[Expr]) -> Expr:
    if op.factors is None:
        raise ValueError("a resizing that repeats no pixels")
    rows = relax.op.repeat(parameters[0], op.factors[0], 2)
    return _clamp(relax.op.repeat(rows, op.factors[1], 3), op.after)


def _pair(op: Operator, parameters: list[Expr]) -> Expr:
    """Of a tensor with itself there is one parameter only."""
    pair = PAIRS[op.kind]
    if not pair.qnn:
        return _clamp(getattr(relax.op, pair.name)(parameters[0], parameters[-1]), op.after)
    operands = [_centred(parameter, zero) for parameter, zero in zip(parameters, op.zero_points, strict=False)]
    if not pair.multiplies:
        operands = [_rescaled(operand, rescale) for operand, rescale in zip(operands, op.rescales, strict=False)]
    result = getattr(relax.op, pair.name)(operands[0], operands[-1])
    return _narrow(op, _rescaled(result, op.rescales[0]) if pair.multiplies else result)


def _concat(op: Operator, parameters: list[Expr]) -> Expr:
    return relax.op.concat([parameters[number] for number in op.operands], op.axis)


def _take(op: Operator, parameters: list[Expr]) -> Expr:
    if op.channels is None:
        raise ValueError("channels that are no constants")
    return relax.op.take(parameters[0], relax.const(op.channels, "int64"), op.axis, mode="clip")


def _strided_slice(op: Operator, parameters: list[Expr]) -> Expr:
    if op.window is None:
        raise ValueError("pixels that are not every n-th")
    pixels, sizes = parameters[0], op.inputs[0].sizes
    if op.window != Window((1, 1)):
        top, left, bottom, right = op.window.padding
        ends = [sizes[2] + bottom, sizes[3] + right]
        pixels = relax.op.strided_slice(pixels, [2, 3], [-top, -left], ends, list(op.window.stride))
    every = np.array_equal(np.asarray(op.channels), np.arange(sizes[1]))
    return pixels if every and op.window != Window((1, 1)) else _take(op, [pixels])


def _depth_to_space(op: Operator, parameters: list[Expr]) -> Expr:
    if op.factors is None:
        raise ValueError("channels that are no blocks of pixels")
    return _clamp(relax.op.nn.pixel_shuffle(parameters[0], op.factors[0]), op.after)


def _reshape(op: Operator, parameters: list[Expr]) -> Expr:
    return relax.op.reshape(parameters[0], list(op.output.sizes))


def _pad(op: Operator, parameters: list[Expr]) -> Expr:
    window = op.window
    if window is None or op.pad_value is None:
        raise ValueError("a padding without widths or value")
    top, left, bottom, right = window.padding
    widths = [0, 0, *op.beyond, top, bottom, left, right]
    return relax.op.nn.pad(parameters[0], widths, "constant", float(op.pad_value))


def _clip(op: Operator, parameters: list[Expr]) -> Expr:
    return _clamp(parameters[0], op.after)


def _lookup(op: Operator, parameters: list[Expr]) -> Expr:
    if op.entries is None:
        raise ValueError("a lookup without a table")
    return look_up(parameters[0], op.entries)


_FORMS: dict[str, Callable[[Operator, list[Expr]], Expr]] = by_kind(
    conv2d=_conv2d,
    conv2d_transpose=_conv2d_transpose,
    dense=_dense,
    max_pool2d=_max_pool2d,
    resize2d=_resize2d,
    depth_to_space=_depth_to_space,
    **dict.fromkeys(PAIRS, _pair),
    concat=_concat,
    take=_take,
    strided_slice=_strided_slice,
    reshape=_reshape,
    pad=_pad,
    clip=_clip,
    lookup=_lookup,
)


def _centred(x: Expr, zero: int | None) -> Expr:
    wide = relax.op.astype(x, "int32")
    return relax.op.subtract(wide, relax.const(zero, "int32")) if zero else wide


def _rescaled(x: Expr, rescale: Rescale, shape: tuple[int, ...] = ()) -> Expr:
    """round(x * source / target), exact halves up, as TVM's fixed_point_multiply computes it; several sources take the `shape` of
    channels."""
    if set(rescale.source) == {rescale.target[0]}:
        return x
    pairs = np.array(fixed_points(rescale), np.int64)
    multipliers, shifts = (pairs[:, index].reshape(shape if len(pairs) > 1 else ()) for index in (0, 1))
    product = relax.op.multiply(relax.op.astype(x, "int64"), relax.const(multipliers, "int64"))
    rounded = relax.op.add(product, relax.const(np.int64(1) << (shifts - 1), "int64"))
    return relax.op.astype(relax.op.right_shift(rounded, relax.const(shifts, "int64")), "int32")


def _clamp(x: Expr, bounds: tuple[int, int] | None) -> Expr:
    if bounds is None:
        raise ValueError("a clamp without bounds")
    return relax.op.clip(x, *bounds)


def _narrow(op: Operator, x: Expr) -> Expr:
    """The result's zero point, bounds and type."""
    zero = int(op.zero_points[-1] or 0)
    shifted = relax.op.add(x, relax.const(zero, "int32")) if zero else x
    return relax.op.astype(_clamp(shifted, op.after), op.output.dtype)
