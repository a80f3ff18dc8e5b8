"""The integer operator that a QDQ form stands for: an operator in floating point between `dequantize` and `quantize`.

This is the one definition for both TVMs. A front end finds the forms, and reads its own expressions (`ExpressionReader`). What is
described is the form's own meaning: sums and results in steps of their scales, exact halves rounded up (docs/quantisation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import TABLE_BYTES
from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.codegen.offload.attributes import Widths
from tvm_re2na.codegen.offload.fixed_point import is_computable
from tvm_re2na.codegen.offload.operator import INT32, LINEAR, SELECTING, Operator, Rescale, Tensor, by_kind
from tvm_re2na.frontends.common import description
from tvm_re2na.frontends.common.description import EVERYTHING, Bounds, WindowGeometry
from tvm_re2na.frontends.common.expressions import Expr, ExpressionReader, Quantity
from tvm_re2na.frontends.common.moving import MOVING, Describe, describers
from tvm_re2na.frontends.common.pairs import PAIRS, describe_pair

RANKS = {"conv2d": 4, "conv2d_transpose": 4, "dense": 2}


@dataclass(frozen=True)
class QdqParts:
    """A form taken apart: `clip(quantize(clamps(main(...))))`, with what is added to a linear operator. Of a lookup, which is in
    integers already, the result and the data.

    `after` holds the clamps of the clips, which stand between a `dequantize` and a `quantize` that have the scale of the result.
    """

    kind: str
    result: Expr
    output: Quantity
    after: tuple[Expr, ...]
    clamps: tuple[Expr, ...]
    sums: Expr | None  # what adds the bias, if anything does
    main: Expr


def describe(kind: str, result: Expr, reader: ExpressionReader) -> Operator:
    """The neutral description of the form of `kind` whose last call is `result`."""
    return _DESCRIBERS[kind](take_apart(kind, result, reader), reader)


def is_form(kind: str, result: Expr, reader: ExpressionReader) -> bool:
    """Whether the form amounts to one integer operator: what only moves, compares or clamps numbers must keep their scale."""
    if kind == "lookup":
        return _is_lookup(reader.value(result), reader)
    parts = take_apart(kind, result, reader)
    if not all(same_scale(clamps_before(clip, reader)[1], clip, reader) for clip in _clips(kind, result, reader)):
        return False
    if kind == "conv2d":
        padding = _padding_before(parts.main, reader)
        return padding is None or _foldable(padding, reader)
    if kind not in (*MOVING, "pad", "concat") and (kind not in PAIRS or PAIRS[kind].qnn):
        return True
    return all(same_scale(operand, parts.result, reader) for operand in data_of(kind, parts.main, reader))


def data_of(kind: str, main: Expr, reader: ExpressionReader) -> list[Expr]:
    """The operands of an operator that are data, each a `dequantize`."""
    if kind == "concat":
        return reader.fields(main.args[0])
    return list(main.args[:2] if kind in PAIRS else main.args[:1])


def has_integer_form(op: Operator) -> bool:
    """Whether everything that integer code needs is a constant, scales are one for the tensor, or of a linear operator one for
    each channel, and tensors are laid out as that code expects. Of what the machine does not add, operands are not rounded each on
    its own."""
    shapes = [tensor.shape for tensor in (*op.inputs, op.output)]
    known = op.before is not None and op.after is not None and None not in op.zero_points
    static = not any(None in shape for shape in shapes) and not any(tensor.constant for tensor in op.inputs)
    if op.kind in LINEAR:
        static &= op.weight is not None and op.bias is not None and len(op.output.shape) == RANKS[op.kind]
    if op.kind == "pad":
        static &= op.window is not None and op.pad_value is not None
    if op.kind == "resize2d":
        static &= op.factors is not None
    if op.kind in SELECTING:
        static &= op.channels is not None and (op.kind == "take" or op.window is not None)
    if op.kind in PAIRS and len(op.rescales) == len(op.inputs):
        static &= shapes[0] == shapes[1]
    usual = all(layout in ("NCHW", "OIHW", "") for layout in op.layouts)
    computable = all(is_computable(rescale, several=op.kind in LINEAR) for rescale in op.rescales)
    return known and static and usual and computable


def take_apart(kind: str, result: Expr, reader: ExpressionReader) -> QdqParts:
    after: tuple[Expr, ...] = ()
    inner = reader.value(result)
    if kind == "lookup":
        data = reader.value(reader.value(inner.args[1]).args[0]).args[0]
        return QdqParts(kind, result, Quantity(data, None, None), (), (), None, data)
    for clip in _clips(kind, result, reader):
        clamps, inner = clamps_before(clip, reader)
        after = (*clamps, *after)
        inner = reader.quantity(inner).data
    if kind == "clip":
        return QdqParts(kind, result, reader.quantity(result), after, (), None, inner)
    clamps, node = clamps_before(inner, reader)
    biased = kind in LINEAR and reader.op(node) in ("add", "nn.bias_add")
    main = reader.value(node.args[0]) if biased else node
    return QdqParts(kind, result, reader.quantity(result), after, clamps, node if biased else None, main)


def clamps_before(quantize: Expr, reader: ExpressionReader) -> tuple[tuple[Expr, ...], Expr]:
    """The clamps before a `quantize`, first to last, and what they clamp."""
    clamps: list[Expr] = []
    node = reader.value(quantize.args[0])
    while reader.is_clamp(node):
        clamps.insert(0, node)
        node = reader.value(node.args[0])
    return tuple(clamps), node


def _clips(kind: str, result: Expr, reader: ExpressionReader) -> Iterator[Expr]:
    """The `quantize` of each clip at the end of a form, last first; a form of kind "clip" is one."""
    quantize = reader.value(result)
    while reader.op(quantize) == "quantize":
        clamps, inner = clamps_before(quantize, reader)
        if not clamps or reader.op(inner) != "dequantize":
            return
        yield quantize
        quantize = reader.value(inner.args[0])
        if kind == "clip":
            return


def _padding_before(conv2d: Expr, reader: ExpressionReader) -> Expr | None:
    """The `quantize` of a padding that belongs to the form of a convolution."""
    quantize = reader.quantity(conv2d.args[0]).data if reader.holds_padding else None
    return quantize if reader.op(quantize) == "quantize" else None


def _foldable(quantize: Expr, reader: ExpressionReader) -> bool:
    """Whether a padding is plain zeros around the image, so that it can be part of the window."""
    padding = reader.value(quantize.args[0])
    zeros = reader.padding(padding).value == 0 and reader.quantity(padding.args[0]).zero == 0
    widths = _widths(padding, reader)
    plain = zeros and widths is not None and widths.channels == (0, 0)
    return plain and same_scale(padding.args[0], quantize, reader)


def _widths(pad: Expr, reader: ExpressionReader) -> Widths | None:
    return description.constant_widths(pad.attrs, reader.padding(pad).widths)


def same_scale(one: Expr, other: Expr, reader: ExpressionReader) -> bool:
    """Whether two of `quantize` and `dequantize` have one and the same scale and zero point, both constant."""
    first, second = reader.quantity(one), reader.quantity(other)
    known = len(first.scales) == 1 and first.zero is not None
    return known and (first.scales, first.zero) == (second.scales, second.zero)


def _is_lookup(take: Expr, reader: ExpressionReader) -> bool:
    """Whether it is what `tables` makes of a function: the entries, at each byte plus 128."""
    entries, place = reader.array(reader.value(take.args[0])), reader.value(take.args[1])
    table = entries is not None and entries.dtype == np.int8 and entries.shape == (TABLE_BYTES,)
    return table and reader.number(place.args[1]) == 128 and reader.dtype(reader.value(place.args[0]).args[0]) == "int8"


def _conv2d(parts: QdqParts, reader: ExpressionReader) -> Operator:
    weight = reader.quantity(reader.weight(parts.main).dequantized)
    padding = _padding_before(parts.main, reader)
    extra = (_widths(reader.value(padding.args[0]), reader) if padding is not None else None) or Widths()
    geometry = description.conv2d_geometry(parts.main.attrs, reader.shape(weight.data), extra.image)
    return _linear("conv2d", parts, reader, weight, reader.array(weight.data), geometry)


def _conv2d_transpose(parts: QdqParts, reader: ExpressionReader) -> Operator:
    weight = reader.quantity(reader.weight(parts.main).dequantized)
    geometry = description.transposed_geometry(parts.main.attrs, reader.shape(weight.data))
    array = reader.array(weight.data)
    if array is not None:
        array = as_convolution(array, geometry.groups)
    return _linear("conv2d_transpose", parts, reader, weight, array, geometry)


def _dense(parts: QdqParts, reader: ExpressionReader) -> Operator:
    operand = reader.weight(parts.main)
    weight = reader.quantity(operand.dequantized)
    array = reader.array(weight.data)
    if array is not None and operand.channels_last:
        array = np.ascontiguousarray(array.T)
    return _linear("dense", parts, reader, weight, array, WindowGeometry())


def _linear(
    kind: str,
    parts: QdqParts,
    reader: ExpressionReader,
    weight: Quantity,
    array: npt.NDArray[Any] | None,
    geometry: WindowGeometry,
) -> Operator:
    data = reader.quantity(parts.main.args[0])
    padding = _padding_before(parts.main, reader)
    if padding is not None:
        data = reader.quantity(reader.value(padding.args[0]).args[0])
    scale = description.product_of(data.scale, weight.scale)
    channels = reader.shape(parts.main)[1] or 0
    return Operator(
        kind,
        description.linear_inputs(reader.tensor(data.data), array, reader.dtype(weight.data)),
        _result(parts, reader),
        (Rescale(description.scales_of(scale), parts.output.scales),),
        (data.zero, weight.zero, parts.output.zero),
        array,
        _bias(parts, reader, scale, channels),
        *geometry,
        after=_after(parts, reader),
    )


def _bias(
    parts: QdqParts, reader: ExpressionReader, scale: npt.NDArray[Any] | None, channels: int
) -> npt.NDArray[np.int32] | None:
    """The bias in units of the sum, one value per channel; zeros where there is none, None where it is no such constant."""
    if parts.sums is None:
        return np.zeros(channels, np.int32)
    node = reader.bias(parts.sums)
    if node is None or reader.shape(node) != (channels,):
        return None
    if reader.op(node) != "dequantize":
        return _on_grid(reader.array(node), scale)
    quantity = reader.quantity(node)
    array = reader.array(quantity.data)
    if array is None or array.dtype != np.int32 or quantity.zero != 0:
        return None
    same = scale is not None and quantity.scale is not None and np.all(quantity.scale == scale.reshape(-1))
    return array if same else None


def _on_grid(bias: npt.NDArray[Any] | None, scale: npt.NDArray[Any] | None) -> npt.NDArray[np.int32] | None:
    """A bias in floating point in units of the sum; None where it is no whole number of 32 bits of them."""
    if bias is None or scale is None:
        return None
    steps = bias.astype(np.float64) / scale.reshape(-1).astype(np.float64)
    whole = np.all((steps == np.rint(steps)) & (steps >= INT32.min) & (steps <= INT32.max))
    return steps.astype(np.int32) if whole else None


def _moving(describe: Describe, parts: QdqParts, reader: ExpressionReader) -> Operator:
    data = reader.tensor(reader.quantity(parts.main.args[0]).data)
    constants = [reader.numbers(operand) for operand in parts.main.args[1:]]
    moved, result = reader.shape(parts.main), _result(parts, reader)
    return describe(parts.main.attrs, constants, data, moved, result, _after(parts, reader))


def _pair(parts: QdqParts, reader: ExpressionReader) -> Operator:
    operands = [reader.quantity(argument) for argument in parts.main.args]
    data, quantities = [reader.tensor(operand.data) for operand in operands], [*operands, parts.output]
    scales, zeros = [each.scale for each in quantities], [each.zero for each in quantities]
    return describe_pair(parts.kind, data, scales, zeros, _result(parts, reader), _after(parts, reader))


def _concat(parts: QdqParts, reader: ExpressionReader) -> Operator:
    data = [reader.quantity(operand).data for operand in data_of("concat", parts.main, reader)]
    operands = description.positions(data, reader.arguments)
    return description.concat(parts.main.attrs, map(reader.tensor, data), operands, _result(parts, reader))


def _pad(parts: QdqParts, reader: ExpressionReader) -> Operator:
    data, result = reader.quantity(parts.main.args[0]), _result(parts, reader)
    steps = _steps(reader.padding(parts.main).value, data.scales[0], data.zero or 0)
    limits = np.iinfo(result.dtype)
    value = None if steps is None else min(max(steps, int(limits.min)), int(limits.max))
    return description.pad(reader.tensor(data.data), result, _widths(parts.main, reader), value)


def _clip(parts: QdqParts, reader: ExpressionReader) -> Operator:
    return Operator("clip", (reader.tensor(parts.main),), _result(parts, reader), after=_after(parts, reader))


def _lookup(parts: QdqParts, reader: ExpressionReader) -> Operator:
    entries = reader.array(reader.value(reader.value(parts.result).args[0]))
    return description.lookup(reader.tensor(parts.main), _result(parts, reader), entries)


_DESCRIBERS: dict[str, Callable[[QdqParts, ExpressionReader], Operator]] = by_kind(
    conv2d=_conv2d,
    conv2d_transpose=_conv2d_transpose,
    dense=_dense,
    **dict.fromkeys(PAIRS, _pair),
    concat=_concat,
    pad=_pad,
    clip=_clip,
    lookup=_lookup,
    **describers(_moving),
)


def _result(parts: QdqParts, reader: ExpressionReader) -> Tensor:
    return Tensor(reader.shape(parts.result), reader.dtype(parts.result))


def _after(parts: QdqParts, reader: ExpressionReader) -> Bounds | None:
    """What clamps leave of the result, in its steps; None where a bound is no constant, or the lower one is above the other.

    Rounding keeps the order of numbers, so the clamps before the `quantize` are clamps of its result.
    """
    limits = np.iinfo(reader.dtype(parts.result))
    start = int(limits.min), int(limits.max)
    clamps, scales, zero = (*parts.clamps, *parts.after), parts.output.scales, parts.output.zero
    if not clamps:
        return start
    if len(scales) != 1 or zero is None:
        return None
    found = (reader.clamp(clamp) if reader.op(clamp) != "nn.relu" else (0.0, np.inf) for clamp in clamps)
    return description.clamped(
        start, ((_steps(low, scales[0], zero), _steps(high, scales[0], zero)) for low, high in found)
    )


def _steps(number: float | None, scale: float, zero: int) -> int | None:
    """A number in steps of a scale, as QuantizeLinear rounds it, within 32 bits; None where it is no constant number."""
    if number is None or np.isnan(number) or scale <= 0:
        return None
    low, high = EVERYTHING
    steps = np.rint(np.clip(np.float32(number) / np.float32(scale), np.float32(low), np.float32(high)))
    return min(max(int(steps) + zero, low), high)
