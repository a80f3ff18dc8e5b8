"""Which pixels of each tensor anything ever reads: what lies outside need not be loaded, nor computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Flags, Reshape, Shape, four_axes


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
            source = found[name]
            source.add(op.seen(0, output.rows, len(source.rows)), op.seen(1, output.columns, len(source.columns)))
    return found
