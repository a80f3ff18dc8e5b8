"""What a chain of views, transposes, chunks and slices amounts to: whole channels of an image, or its features in a row.

Such operators are run on the positions of their values, whatever they are called and however their sizes were computed.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

SHARED = ("flatten", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "chunk", "split", "narrow")
METHODS = frozenset((*SHARED, "view", "contiguous"))
FUNCTIONS = frozenset((*(getattr(torch, name) for name in SHARED), operator.getitem))
MODULES = (nn.ChannelShuffle, nn.Unflatten)


class Origin(NamedTuple):
    """Where the values of a node's result, of one image, come from: positions in the result of `source`. A tuple where the result
    is one."""

    source: fx.Node
    positions: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the source."""
        return tuple(self.source.meta["tensor_meta"].shape)

    def is_all(self) -> bool:
        """Every value in its place; the shape may be another."""
        return torch.equal(self.positions.flatten(), torch.arange(math.prod(self.shape)))

    def channels(self) -> list[int] | None:
        """The source's channels of which the result consists; None where it consists of anything else."""
        shape, pixels = self.shape, math.prod(self.shape[2:])
        if (
            self.positions.dim() != len(shape)
            or tuple(self.positions.shape[2:]) != shape[2:]
            or len(self.positions) != 1
        ):
            return None
        rows = self.positions.reshape(-1, pixels)
        first = rows[:, 0] // pixels
        return first.tolist() if torch.equal(rows, first[:, None] * pixels + torch.arange(pixels)) else None


class Origins(ShapeProp):
    """Runs a graph on one image: shapes in each node's `tensor_meta`, and `found`, the origins of its tensors."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, Origin] = {}

    def moves(self, node: fx.Node) -> bool:
        """Whether it only moves or selects values."""
        if not node.args or node.args[0] not in self.found:
            return False
        if node.op == "call_module":
            return isinstance(self.module.get_submodule(str(node.target)), MODULES)
        known = FUNCTIONS if node.op == "call_function" else METHODS if node.op == "call_method" else ()
        return node.target in known

    def reads(self, node: fx.Node) -> bool:
        """Whether it needs the values of its inputs in their places, not their sizes alone."""
        return node.op == "output" or (node in self.found and not self.moves(node))

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if self.moves(n):
            source = self.found[n.args[0]]
            args, kwargs = (fx.node.map_arg(given, self._placed) for given in (n.args, n.kwargs))
            self.found[n] = Origin(source.source, getattr(self, n.op)(n.target, args, kwargs))
        elif isinstance(result, Tensor):
            self.found[n] = Origin(n, torch.arange(result.numel()).reshape(result.shape))
        return result

    def _placed(self, node: fx.Node) -> Any:
        return self.found[node].positions if node in self.found else self.env[node]
