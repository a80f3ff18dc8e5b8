"""What both front ends make of an operator that they have taken apart; attributes have the same names in both TVMs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arithmetic import compose
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.offload.attributes import Widths, padding_of, padding_widths, rounded_up, two
from tvm_re2na.codegen.offload.operator import INT32, Operator, Tensor

Bounds: TypeAlias = tuple[int, int]
Shape: TypeAlias = tuple[int | None, ...]
Constants: TypeAlias = Sequence[npt.NDArray[Any] | None]
ImageWidths: TypeAlias = tuple[int, int, int, int]  # top, left, bottom, right
EVERYTHING: Bounds = (int(INT32.min), int(INT32.max))
BYTE: Bounds = (-128, 127)
EXTREMA = ("maximum", "minimum")  # clamps beside a constant, otherwise of two tensors
CLAMPS = ("nn.relu", "clip", *EXTREMA)


class WindowGeometry(NamedTuple):
    """What a linear operator has besides numbers; a dense layer has nothing."""

    window: Window | None = None
    groups: int = 1
    layouts: tuple[str, ...] = ()


def conv2d_geometry(attrs: Any, weight: Shape, extra: ImageWidths) -> WindowGeometry:
    """Of a convolution with weights of this shape, behind a padding of these widths that becomes part of its own."""
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout))
    kernel = weight[2:] if layouts[1] in ("OIHW", "IOHW") else (1, 1)
    top, left, bottom, right = (a + b for a, b in zip(padding_of(attrs.padding), extra, strict=True))
    padding = (top, left, bottom, right)
    window = Window((kernel[0] or 0, kernel[1] or 0), two(attrs.strides), padding, two(attrs.dilation))
    return WindowGeometry(window, int(attrs.groups), layouts)


def transposed_geometry(attrs: Any, weight: Shape) -> WindowGeometry:
    """Of a transposed convolution with weights of this shape, which TVM lays out "IOHW": `as_convolution` makes "OIHW" of them."""
    geometry = conv2d_geometry(attrs, weight, (0, 0, 0, 0))
    return geometry._replace(layouts=tuple({"IOHW": "OIHW"}.get(layout, layout) for layout in geometry.layouts))


def linear_inputs(data: Tensor, weight: npt.NDArray[Any] | None, weight_dtype: str) -> tuple[Tensor, ...]:
    """The operands of a linear operator: the data, and weights that are no constant, whose shape no rule asks for."""
    return (data,) if weight is not None else (data, Tensor((1, 1), weight_dtype))


def max_pool2d(
    attrs: Any, constants: Constants, data: Tensor, pooled: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    """`pooled` is the shape before what follows the pooling."""
    del constants
    window = Window(two(attrs.pool_size), two(attrs.strides), padding_of(attrs.padding), two(attrs.dilation))
    layouts = (str(attrs.layout), str(attrs.out_layout))
    if attrs.ceil_mode and layouts[0] == "NCHW":
        window = rounded_up(window, data.shape, pooled)
    return Operator("max_pool2d", (data,), result, window=window, layouts=layouts, after=after)


def resize2d(
    attrs: Any, constants: Constants, data: Tensor, resized: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    """`factors` where every pixel is one of the input's, each repeated as often as the others of its row or column."""
    del constants
    given = str(attrs.coordinate_transformation_mode), str(attrs.rounding_method)
    axes = [_repeats(size, longer, *given) for size, longer in zip(data.shape[2:], resized[2:], strict=True)]
    factors = (axes[0], axes[1]) if str(attrs.method) == "nearest_neighbor" and min(axes) > 0 else None
    return Operator("resize2d", (data,), result, layouts=(str(attrs.layout),), after=after, factors=factors)


def concat(attrs: Any, data: Iterable[Tensor], operands: tuple[int, ...], result: Tensor) -> Operator:
    """`data` for each place; `operands`: the number of the argument that stands there."""
    axis = int(attrs.axis) % max(1, len(result.shape))
    return Operator("concat", tuple(data), result, axis=axis, operands=operands)


def take(
    attrs: Any, constants: Constants, data: Tensor, taken: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    """`channels` where a constant list of them is taken."""
    del taken, after
    axis = 0 if attrs.axis is None else int(attrs.axis) % max(1, len(data.shape))
    channels = _listed(constants[0], data.shape[1]) if axis == 1 else None
    return Operator("take", (data,), result, axis=axis, channels=channels)


def _listed(numbers: npt.NDArray[Any] | None, count: int | None) -> npt.NDArray[np.int64] | None:
    """A list of so many channels at most, some of which may be counted from the end; None of anything else."""
    if numbers is None or count is None or numbers.ndim != 1 or not numbers.size:
        return None
    inside = -count <= int(numbers.min()) and int(numbers.max()) < count
    return numbers.astype(np.int64) % count if inside else None


def strided_slice(
    attrs: Any, constants: Constants, data: Tensor, taken: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    """`channels` and `window` of what is taken; Relay has the numbers as attributes, Relax as `constants`."""
    del taken, after
    axes, begin, end, strides = constants if constants else _slice_settings(attrs, len(data.shape))
    if axes is None or begin is None or end is None or None in data.shape:
        return Operator("strided_slice", (data,), result, window=Window((1, 1)))
    steps = np.ones(len(axes), np.int64) if strides is None else strides
    taken_of = {axis: np.arange(size) for axis, size in enumerate(data.sizes)}
    for axis, first, last, step in zip(axes, begin, end, steps, strict=True):
        whole = taken_of[int(axis) % len(data.shape)]
        taken_of[int(axis) % len(data.shape)] = whole[int(first) : int(last) : int(step)]
    fits = tuple(map(len, taken_of.values())) == result.shape
    channels = taken_of[1].astype(np.int64) if fits and len(taken_of) > 1 else None
    return Operator("strided_slice", (data,), result, window=_pixels(taken_of, data), channels=channels)


def _pixels(taken_of: dict[int, npt.NDArray[Any]], data: Tensor) -> Window | None:
    """Of rows and columns those that are taken, as a window of one pixel; None where images are left out, or where they are
    counted backwards."""
    if 0 in map(len, taken_of.values()) or len(taken_of[0]) != data.sizes[0]:
        return None
    before, behind, steps = [0, 0], [0, 0], [1, 1]
    for axis in range(len(data.sizes) - 2):
        numbers = taken_of[2 + axis]
        before[axis], behind[axis] = -int(numbers[0]), int(numbers[-1]) + 1 - data.sizes[2 + axis]
        steps[axis] = int(numbers[1] - numbers[0]) if len(numbers) > 1 else 1
    padding = (before[0], before[1], behind[0], behind[1])
    return Window((1, 1), (steps[0], steps[1]), padding) if min(steps) > 0 else None


def depth_to_space(
    attrs: Any, constants: Constants, data: Tensor, moved: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    """Relay's has a mode, CRD (channel, row of the block, column) or DCR (row, column, channel); Relax's is CRD."""
    del constants, moved
    size = int(getattr(attrs, "block_size", 0) or attrs.upscale_factor)
    pixels, count = size * size, data.shape[1] or 0
    order = np.arange(count // pixels * pixels)
    if str(getattr(attrs, "mode", "CRD")) != "DCR":
        order = order.reshape(-1, pixels).T.ravel()
    layouts, factors = (str(getattr(attrs, "layout", "NCHW")),), (size, size)
    return Operator("depth_to_space", (data,), result, layouts=layouts, after=after, factors=factors, channels=order)


def _slice_settings(attrs: Any, rank: int) -> Constants:
    """Axes, first numbers, those behind the last, steps."""
    begin, end, strides = (
        None if given is None else np.array([int(number) for number in given], np.int64)
        for given in (attrs.begin, attrs.end, attrs.strides)
    )
    if begin is None or end is None or str(attrs.slice_mode) != "end":
        return [None] * 4
    axes = np.array([int(axis) for axis in attrs.axes], np.int64) if attrs.axes is not None else np.arange(len(begin))
    return [axes, begin, end, np.broadcast_to(strides, begin.shape) if strides is not None and len(strides) else None]


def positions(places: Sequence[Any], arguments: Sequence[Any]) -> tuple[int, ...]:
    """Which of the arguments stands in each place; each is counted where it comes first, where they are not known."""
    known = list(arguments) or list(dict.fromkeys(places))
    return tuple(known.index(place) for place in places)


# of an output pixel's place, in halves of a pixel: what is added before it is divided by the factor, and taken away after it
_PLACES = {
    "asymmetric": (0, 0),
    "half_pixel": (1, 1),
    "pytorch_half_pixel": (1, 1),
    "tf_half_pixel_for_nn": (1, 0),
}
# the pixel of a place that is given in units of 1 / (2 * factor) pixels
_NEAREST: dict[str, Callable[[int, int], int]] = {
    "floor": lambda place, factor: place // (2 * factor),
    "ceil": lambda place, factor: -(-place // (2 * factor)),
    "round_prefer_floor": lambda place, factor: -((factor - place) // (2 * factor)),
    "round_prefer_ceil": lambda place, factor: (place + factor) // (2 * factor),
}


def _repeats(size: int | None, longer: int | None, place: str, rounding: str) -> int:
    """How often each of `size` pixels is repeated to make `longer` of them; 0 if anything else happens.

    Places grow from copy to copy, so if the first and the last of a pixel are its own, all are.
    """
    if not size or not longer or longer % size or place not in _PLACES:
        return 0
    factor, (before, after), nearest = longer // size, _PLACES[place], _NEAREST.get(rounding)
    ends = (2 * copy + before - after * factor for copy in (0, factor - 1))
    repeated = size == 1 or (nearest is not None and all(nearest(end, factor) == 0 for end in ends))
    return factor if repeated else 0


def pad(data: Tensor, result: Tensor, widths: Widths | None, value: float | None) -> Operator:
    """A padding of channels, rows and columns by `value`; `widths` is None for any other, `value` for what is no constant."""
    window, beyond = (Window((1, 1), padding=widths.image), widths.channels) if widths is not None else (None, (0, 0))
    return Operator("pad", (data,), result, window=window, pad_value=value, beyond=beyond)


def lookup(data: Tensor, result: Tensor, entries: npt.NDArray[np.int8] | None) -> Operator:
    """`entries` (256,): that of -128 first. A table has that of 0 first."""
    return Operator("lookup", (data,), result, table=None if entries is None else np.roll(entries, 128))


def constant_widths(attrs: Any, widths: Iterable[tuple[Any, Any]]) -> Widths | None:
    """The widths of an `nn.pad` of channels, rows and columns by a constant; None for any other."""
    pairs = [(int(low), int(high)) for low, high in widths]
    return padding_widths(pairs) if str(attrs.pad_mode) == "constant" else None


def clamped(start: Bounds, clamps: Iterable[tuple[int | None, int | None]]) -> Bounds | None:
    """What a chain of clamps leaves of `start`; None where a bound is None, or the lower one is above the other."""
    for low, high in clamps:
        if low is None or high is None or low > high:
            return None
        start = compose(start, (low, high))
    return start


def one_number(values: npt.NDArray[Any] | None) -> Any:
    """The one number that all elements of a constant have, otherwise None."""
    if values is None or values.size == 0 or np.any(values != values.flat[0]):
        return None
    return values.flat[0].item()


def scales_of(values: npt.NDArray[Any] | None) -> tuple[float, ...]:
    """The scale of a constant: one number, or where they differ one for each channel; none of what is no constant."""
    if values is None:
        return ()
    one = one_number(values)
    return tuple(map(float, values.reshape(-1))) if one is None else (float(one),)


def product_of(first: npt.NDArray[Any] | None, second: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """The scale of what values of two scales make together; None where either is unknown."""
    return None if first is None or second is None else first * second


def macs(result: Shape, weight: Shape) -> int:
    """Multiply-accumulates: elements of the result times the weights that each of them meets, whose axes are given; of a transposed
    convolution elements of its data, which meet its weights so."""
    return elements((*result, *weight))


def elements(shape: Shape) -> int:
    """Sizes that are not known count as 1."""
    return math.prod(size or 1 for size in shape)


def share(ours: int, rest: int) -> float:
    """The share (0..1) of the multiply-accumulates that Re²Na executes; 0 where there are none."""
    return ours / (ours + rest) if ours + rest else 0.0
