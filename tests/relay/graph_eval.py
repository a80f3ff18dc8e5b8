"""A third opinion: evaluates an accelerator graph in plain int64 NumPy, without an accumulator's limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph import Add, Clip, Conv2d, Cut, Dense, Graph, MaxPool2d, Op, Pad, Reshape, Window

Array = npt.NDArray[np.int64]


def evaluate(graph: Graph, inputs: list[npt.NDArray[np.int8]]) -> list[npt.NDArray[np.int8]]:
    """The graph's outputs for int8 inputs in the order of `graph.inputs`."""
    values = {name: value.astype(np.int64) for name, value in zip(graph.inputs, inputs, strict=True)}
    for op in graph.ops:
        result = _evaluate(op, [values[name] for name in op.inputs])
        assert result.shape == graph.shapes[op.output], op.name
        assert result.min() >= -128 and result.max() <= 127, op.name
        values[op.output] = result
    return [values[name].astype(np.int8) for name in graph.outputs]


def _evaluate(op: Op, x: list[Array]) -> Array:
    if isinstance(op, Conv2d):
        return _cut(_convolve(x[0], op) + op.bias[:, None, None], op.cut)
    if isinstance(op, Dense):
        return _cut(x[0] @ op.weight.astype(np.int64).T + op.bias, op.cut)
    if isinstance(op, MaxPool2d):
        return np.clip(_windows(x[0], op.window, -(10**9)).max(axis=(4, 5)), op.lo, op.hi).clip(-128)
    if isinstance(op, Add):
        return np.clip(_shift(x[0], op.shifts[0]) + _shift(x[1], op.shifts[1]), op.lo, op.hi)
    if isinstance(op, Clip):
        return np.clip(x[0], op.lo, op.hi)
    if isinstance(op, Pad):
        top, left, bottom, right = op.padding
        return np.pad(x[0], ((0, 0), (0, 0), (top, bottom), (left, right)))
    assert isinstance(op, Reshape)
    return x[0].reshape(op.shape)


def _convolve(x: Array, op: Conv2d) -> Array:
    windows = _windows(x, op.window, 0)
    n, c, h, w, *kernel = windows.shape
    outputs = op.weight.shape[0]
    windows = windows.reshape(n, op.groups, c // op.groups, h, w, *kernel)
    weight = op.weight.astype(np.int64).reshape(op.groups, outputs // op.groups, c // op.groups, *kernel)
    return np.einsum("ngchwij,gocij->ngohw", windows, weight).reshape(n, outputs, h, w)


def _windows(x: Array, window: Window, fill: int) -> Array:
    """(N, C, output rows, output columns, kernel rows, kernel columns)."""
    top, left, bottom, right = window.padding
    rows, columns = window.output_size(x.shape[2], x.shape[3])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    y = np.arange(rows)[:, None] * window.stride[0] + np.arange(window.kernel[0]) * window.dilation[0]
    z = np.arange(columns)[:, None] * window.stride[1] + np.arange(window.kernel[1]) * window.dilation[1]
    return x[:, :, y[:, None, :, None], z[None, :, None, :]]


def _cut(total: Array, cut: Cut) -> Array:
    return np.clip(_shift(total, cut.lsb), cut.lo, cut.hi)


def _shift(x: Array, bits: int) -> Array:
    return (x + (1 << bits >> 1)) >> bits
