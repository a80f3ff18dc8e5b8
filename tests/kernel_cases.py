"""Operators that the kernels of the CPU compute, full-range data for them, and their results by definition, for both TVMs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.offload.operator import Operator, Rescale, Tensor

Array = npt.NDArray[Any]
INT32 = (-(2**31), 2**31 - 1)


def linear(
    rng: np.random.Generator,
    data: tuple[int, ...],
    outputs: int,
    window: Window | None = None,
    groups: int = 1,
    dtypes: tuple[str, str] = ("int8", "int8"),
    zeros: tuple[int, int, int] = (0, 0, 0),
    ratio: float = 2.0**-9,
    before: tuple[int, int] = INT32,
) -> Operator:
    """A convolution, or a dense layer without a window. Weights use all of their range."""
    kernel = window.kernel if window else ()
    size = window.output_size(*data[2:]) if window else ()
    weight_type = "uint8" if zeros[1] > 127 else "int8"
    weight = full_range(rng, (outputs, data[1] // groups, *kernel), weight_type)
    after = (int(np.iinfo(dtypes[1]).min), int(np.iinfo(dtypes[1]).max))
    return Operator(
        "conv2d" if window else "dense",
        (Tensor(data, dtypes[0]),),
        Tensor((data[0], outputs, *size), dtypes[1]),
        (Rescale((ratio,), (1.0,)),),
        zeros,
        weight.astype(np.int16),
        rng.integers(-(2**15), 2**15, outputs).astype(np.int32),
        window,
        groups,
        before=before,
        after=after,
    )


def full_range(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Numbers of all the range, the smallest and largest most often."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    numbers, extreme = rng.integers(low, high + 1, shape), rng.choice([low, high], shape)
    return np.where(rng.random(shape) < 0.5, numbers, extreme).astype(dtype)


def directed(rng: np.random.Generator) -> Iterator[Operator]:
    """Every form by name, at its corners."""
    pixel, three = Window((1, 1)), Window((3, 3), padding=(1, 1, 1, 1))
    yield linear(rng, (1, 16, 8, 8), 16, three)
    yield linear(rng, (1, 3, 33, 31), 10, Window((7, 7), (2, 2), (3, 3, 3, 3)))
    yield linear(rng, (3, 7, 5, 9), 5, three, ratio=1.0)
    yield linear(rng, (2, 8, 9, 7), 8, three, groups=8)
    yield linear(rng, (2, 6, 9, 7), 12, Window((3, 3), (2, 2), (1, 1, 0, 0)), groups=6)
    yield linear(rng, (1, 12, 9, 7), 18, three, groups=3, ratio=0.0123)
    yield linear(rng, (1, 6, 17, 13), 4, Window((3, 2), (1, 3), (2, 0, 1, 4), (2, 3)))
    yield linear(rng, (2, 20, 7, 7), 50, pixel)
    yield linear(rng, (2, 20, 7, 9), 24, Window((1, 1), (2, 3)))
    yield linear(rng, (2, 5, 1, 40), 3, Window((1, 9), padding=(0, 4, 0, 4)))
    yield linear(rng, (2, 5, 4, 4), 20, Window((4, 4)), ratio=2.0**-12)
    yield linear(rng, (1, 5, 4, 4), 4, Window((4, 4)), groups=1, ratio=0.37 * 2**-8)
    yield linear(rng, (1, 4, 2, 2), 4, Window((5, 5), padding=(4, 4, 4, 4)))
    yield linear(rng, (1, 4, 3, 3), 4, Window((1, 1), (3, 3), (1, 1, 1, 1)))
    yield linear(rng, (1, 4, 6, 6), 4, pixel, ratio=3.5)
    yield linear(rng, (1, 4, 6, 6), 4, pixel, ratio=4.0)
    yield linear(rng, (1, 1024, 3, 3), 8, three, ratio=2.0**-18)
    for zeros in ((-5, 0, 3), (-128, 0, 0), (127, 0, -128), (9, -128, 0), (0, 127, 1)):
        yield linear(rng, (1, 9, 6, 6), 7, three, zeros=zeros, ratio=0.00123)
        yield linear(rng, (2, 33), 21, zeros=zeros)
    for zeros in ((131, 0, 7), (255, 128, 255), (0, 255, 0), (0, 0, 0)):
        yield linear(rng, (1, 9, 6, 6), 7, three, zeros=zeros, dtypes=("uint8", "uint8"), ratio=0.00123)
        yield linear(rng, (3, 33), 21, zeros=zeros, dtypes=("uint8", "int8"))
    for batch, inputs, outputs in ((1, 1, 1), (1, 4096, 10), (2, 31, 130), (3, 64, 64), (4, 7, 3), (5, 100, 17)):
        yield linear(rng, (batch, inputs), outputs, ratio=2.0**-14)
    yield linear(rng, (1, 64), 40, ratio=1.0, before=(-3, 90))
    yield linear(rng, (1, 8, 6, 6), 8, three, before=(0, 6 << 9))
    yield linear(rng, (1, 8, 6, 6), 8, three, ratio=2.0**-30)


def generated(rng: np.random.Generator, count: int) -> Iterator[Operator]:
    """Convolutions of any window, stride, padding, dilation and groups."""
    for _ in range(count):
        pick = rng.integers
        groups = int(rng.choice([1, 1, 2, 5]))
        window = Window(*(tuple(int(n) for n in pick(low, high, of)) for low, high, of in RANGES))  # type: ignore[arg-type]
        sizes = [max(int(pick(1, 20)), window.reach[axis]) for axis in range(2)]
        data = (int(pick(1, 3)), groups * int(pick(1, 9)), *sizes)
        ratio = float(rng.choice([2.0**-8, 0.0031, 2.0**-11]))
        yield linear(rng, data, groups * int(pick(1, 14)), window, groups, ratio=ratio)


RANGES = ((1, 6, 2), (1, 4, 2), (0, 4, 4), (1, 4, 2))  # kernel, stride, padding, dilation


def operators() -> list[Operator]:
    rng = np.random.default_rng(16)
    smallest = linear(rng, (1, 32, 6, 6), 8, Window((3, 3), padding=(1, 1, 1, 1)), ratio=2.0**-16)
    extreme = replace(smallest, weight=np.full_like(smallest.weight, -128))
    return [extreme, *directed(rng), *generated(rng, 16)]


def data_of(index: int, op: Operator) -> Array:
    """The first is -128 throughout: -128 x -128 everywhere."""
    shape, dtype = op.inputs[0].sizes, op.inputs[0].dtype
    return np.full(shape, -128, dtype) if index == 0 else full_range(np.random.default_rng(index), shape, dtype)


def expected(op: Operator, x: Array) -> Array:
    """By definition."""
    assert op.weight is not None and op.bias is not None and op.before is not None and op.after is not None
    zero, weight_zero, result_zero = (int(z or 0) for z in op.zero_points)
    wide, weight = x.astype(np.int64) - zero, op.weight.astype(np.int64) - weight_zero
    if op.window is None:
        sums = wide @ weight.T + op.bias
    else:
        sums = _convolved(wide, weight, op.window, op.groups) + op.bias[:, None, None]
    assert np.abs(sums).max() < 2**31
    clamped = np.clip(sums, *op.before).astype(object)  # of any size
    multiplier, shift = _as_fixed_point(op.rescales[0].source[0])
    rounded = (clamped * multiplier + (1 << (shift - 1))) >> shift
    return np.clip(rounded + result_zero, *op.after).astype(op.output.dtype)


def _convolved(x: Array, weight: Array, window: Window, groups: int) -> Array:
    top, left, bottom, right = window.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    views = np.lib.stride_tricks.sliding_window_view(padded, window.reach, (2, 3))
    seen = views[:, :, :: window.stride[0], :: window.stride[1], :: window.dilation[0], :: window.dilation[1]]
    parts = zip(np.split(seen, groups, 1), np.split(weight, groups, 0), strict=True)
    return np.concatenate([np.einsum("ncyxhw,ochw->noyx", data, part) for data, part in parts], 1)


def _as_fixed_point(ratio: float) -> tuple[int, int]:
    """The nearest multiplier of 31 bits."""
    fraction, exponent = np.frexp(ratio)
    return round(float(fraction) * 2**31), 31 - int(exponent)
