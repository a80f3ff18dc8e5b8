"""What both front ends make of the attributes of windows: sizes given shortly, output sizes rounded up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, SupportsInt

from tvm_re2na.codegen.graph.ops import Window

Sizes = tuple[int | None, ...]


def two(sizes: Sequence[SupportsInt]) -> tuple[int, int]:
    """One or two numbers as (rows, columns)."""
    return int(sizes[0]), int(sizes[-1])


def padding_of(sizes: Sequence[SupportsInt]) -> tuple[int, int, int, int]:
    """TVM's padding (one, two or four numbers) as (top, left, bottom, right)."""
    given = [int(size) for size in sizes]
    top, left, bottom, right = given if len(given) == 4 else (given[0], given[-1], given[0], given[-1])
    return top, left, bottom, right


def rounded_up(window: Window, shape: Sizes, output: Sizes) -> Window:
    """Rounding the output size up is the same as padding the bottom and right of (N, C, H, W) until `output` comes out."""
    top, left, bottom, right = window.padding
    if None in (*shape[2:], *output[2:]):
        return window
    needed = [
        (int(output[2 + i] or 0) - 1) * window.stride[i] + window.reach[i] - int(shape[2 + i] or 0) for i in range(2)
    ]
    padding = (top, left, max(bottom, needed[0] - top), max(right, needed[1] - left))
    return Window(window.kernel, window.stride, padding, window.dilation)


class Widths(NamedTuple):
    """Of a padding of (N, C, H, W): top, left, bottom, right, and channels before and behind."""

    image: tuple[int, int, int, int] = (0, 0, 0, 0)
    channels: tuple[int, int] = (0, 0)


def padding_widths(widths: Sequence[tuple[int, int]]) -> Widths | None:
    """None where images are padded, or anything is cut off."""
    if len(widths) != 4 or widths[0] != (0, 0) or min(min(pair) for pair in widths) < 0:
        return None
    (top, bottom), (left, right) = widths[2:]
    return Widths((top, left, bottom, right), widths[1])
