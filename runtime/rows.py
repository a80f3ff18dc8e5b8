"""The inputs of some outputs of a convolution, gathered in C for the quantiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.runtime import library
from tvm_re2na.runtime.abi_table import CWindow
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.runtime.shares import check

Pair = Sequence[int]


@dataclass(frozen=True)
class ConvolutionWindow:
    """A convolution's, as ONNX has it: `pads` are top, left, bottom and right."""

    groups: int
    kernel: Pair
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: Sequence[int] = (0, 0, 0, 0)


def gather(source: Int8Array, pixels: npt.NDArray[np.int64], window: ConvolutionWindow, rows: Int8Array) -> None:
    """Fill `rows` (groups, N * P, K) with the K inputs of each of the `pixels` (N, P) of the result, in the order of a weight's.

    They come from `source` (N, C, H, W); 0 is what lies outside. Raises ValueError for pixels that are not there, and for arrays of
    another shape or type, or not contiguous.
    """
    images, channels, height, width = source.shape
    inputs = channels // window.groups * window.kernel[0] * window.kernel[1]
    result = [
        (size + window.pads[axis] + window.pads[axis + 2] - (window.kernel[axis] - 1) * window.dilations[axis] - 1)
        // window.strides[axis]
        + 1
        for axis, size in enumerate((height, width))
    ]
    check("rows", rows, (window.groups, pixels.size, inputs), np.int8)
    check("pixels", pixels, (images, pixels.shape[-1]), np.int64)
    check("source", source, source.shape, np.int8)
    if pixels.size and not 0 <= pixels.min() <= pixels.max() < result[0] * result[1]:
        raise ValueError(f"pixels: {pixels.min()}..{pixels.max()}, expected 0..{result[0] * result[1] - 1}")
    sizes = (images, channels, height, width, window.groups, pixels.shape[1], result[1])
    pairs = (*window.kernel, *window.strides, *window.dilations, *window.pads[:2])
    library.rows(source, pixels, CWindow.from_buffer(np.array([*sizes, *pairs], np.uint32).data), rows)
