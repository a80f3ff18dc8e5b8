"""Which pixels of each tensor anything ever reads: what lies outside need not be loaded, nor computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, MaxPool2d, Op, Pad, Reshape, Shape, Window, four_axes

Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass
class Need:
    """Rows and columns of a tensor that are read, for all its images and channels; everything at their crossings is."""

    shape: Shape
    rows: Flags
    columns: Flags

    @property
    def pixels(self) -> int:
        """Of one image."""
        return int(np.count_nonzero(self.rows)) * int(np.count_nonzero(self.columns))

    @property
    def bytes(self) -> int:
        return math.prod(self.shape[:2]) * self.pixels

    def add(self, rows: Flags, columns: Flags) -> None:
        self.rows |= rows
        self.columns |= columns


def roots(graph: Graph) -> dict[str, str]:
    """The tensor whose elements each tensor has: a reshape moves nothing, it is another name."""
    root = {name: name for name in graph.inputs}
    for op in graph.ops:
        root[op.output] = root[op.inputs[0]] if isinstance(op, Reshape) else op.output
    return root


def needs(graph: Graph) -> dict[str, Need]:
    """For every tensor, walking back from the outputs; an input that is given back under another name is not read."""
    root, found = roots(graph), {}
    for name, shape in graph.shapes.items():
        _, _, height, width = four_axes(shape)
        given_back = name in graph.outputs and root[name] not in graph.inputs
        read = np.full(height, given_back), np.full(width, given_back)
        found[name] = Need(shape, *read)
    for op in reversed(graph.ops):
        output = found[op.output]
        for name in op.inputs if output.pixels else ():
            found[name].add(*_read(op, output, found[name]))
    return found


def _read(op: Op, output: Need, source: Need) -> tuple[Flags, Flags]:
    """Rows and columns of an input for what is needed of the output."""
    if isinstance(op, Conv2d | MaxPool2d):
        window = op.window
    elif isinstance(op, Pad):
        window = Window((1, 1), padding=op.padding)
    elif isinstance(op, Add | Clip):
        return output.rows, output.columns
    else:
        return np.ones_like(source.rows), np.ones_like(source.columns)
    return _seen(window, 0, output.rows, len(source.rows)), _seen(window, 1, output.columns, len(source.columns))


def _seen(window: Window, axis: int, outputs: Flags, size: int) -> Flags:
    starts = np.flatnonzero(outputs)[:, None] * window.stride[axis] - window.padding[axis]
    places = (starts + np.arange(window.kernel[axis])[None] * window.dilation[axis]).ravel()
    seen = np.zeros(size, np.bool_)
    seen[places[(places >= 0) & (places < size)]] = True
    return seen
