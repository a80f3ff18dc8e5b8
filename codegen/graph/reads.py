"""Which pixels of each tensor anything ever reads: what lies outside need not be loaded, nor computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Flags, Op, Reshape, Shape, four_axes


@dataclass
class Need:
    """Channels, rows and columns of a tensor that are read, for all its images; everything at their crossings is."""

    shape: Shape
    channels: Flags
    rows: Flags
    columns: Flags

    @property
    def pixels(self) -> int:
        """Of one image."""
        return int(np.count_nonzero(self.rows)) * int(np.count_nonzero(self.columns))

    @property
    def bytes(self) -> int:
        return self.shape[0] * int(np.count_nonzero(self.channels)) * self.pixels

    def add(self, channels: Flags, rows: Flags, columns: Flags) -> None:
        self.channels |= channels
        self.rows |= rows
        self.columns |= columns


def moves_nothing(op: Op) -> bool:
    """Whether its result is another name for elements that are there."""
    return isinstance(op, Reshape | Concat | Select)


def made_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The tensors, inputs or what operators compute, among whose elements those of each tensor are."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.inputs}
    for op in graph.ops:
        sources = (root for name in op.inputs for root in found[name])
        found[op.output] = tuple(dict.fromkeys(sources)) if moves_nothing(op) else (op.output,)
    return found


def roots(graph: Graph) -> dict[str, str]:
    """The tensor whose elements each tensor has: a reshape moves nothing, it is another name."""
    root = {name: name for name in graph.inputs}
    for op in graph.ops:
        root[op.output] = root[op.inputs[0]] if isinstance(op, Reshape) else op.output
    return root


def given(graph: Graph) -> dict[str, Flags]:
    """The channels of each tensor that are among the outputs' elements; none of a reshaped tensor of which only some are."""
    found = {name: np.full(graph.shapes[name][1], name in graph.outputs) for name in graph.shapes}
    for op in reversed(graph.ops):
        channels = found[op.output]
        if not moves_nothing(op) or (isinstance(op, Reshape) and not channels.all()):
            continue
        for name, seen in zip(
            op.inputs, op.channels_seen(channels, [len(found[name]) for name in op.inputs]), strict=True
        ):
            found[name] = found[name] | seen
    return found


def needs(graph: Graph) -> dict[str, Need]:
    """For every tensor, walking back from the outputs; inputs that are given back under another name, or as a part of an output,
    are not read."""
    computed = {op.output for op in graph.ops if not moves_nothing(op)}
    root, given_back, found = roots(graph), given(graph), {}
    for name, shape in graph.shapes.items():
        channels = given_back[name] if root[name] in computed else np.zeros(shape[1], np.bool_)
        rows, columns = (np.full(size, bool(channels.any())) for size in four_axes(shape)[2:])
        found[name] = Need(shape, channels.copy(), rows, columns)
    for op in reversed(graph.ops):
        output = found[op.output]
        if not output.bytes:
            continue
        seen = op.channels_seen(output.channels, [len(found[name].channels) for name in op.inputs])
        sources = [found[name] for name in op.inputs]
        seen_rows = op.pixels_seen(0, output.rows, [len(source.rows) for source in sources])
        seen_columns = op.pixels_seen(1, output.columns, [len(source.columns) for source in sources])
        for source, *flags in zip(sources, seen, seen_rows, seen_columns, strict=True):
            source.add(*flags)
    return found
