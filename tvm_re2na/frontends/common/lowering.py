"""A function for Re²Na, operator by operator, as an accelerator graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import GraphError
from tvm_re2na.codegen.offload.lowering import append_operator, require_accepted
from tvm_re2na.codegen.offload.names import UniqueNames
from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.frontends.common.found import Operators


class Lowering:
    """The graph of one function. `known` holds its operators where they have been found and judged; others are described here.

    They have to be where TVM alone calls us, as for `relay.build`: all it hands on is a function, which other passes may have
    gone through and which may come from a file.
    """

    def __init__(self, symbol: str, arch: Architecture, known: Operators | None) -> None:
        self._builder, self._arch, self._known = GraphBuilder(symbol), arch, known or {}
        self._symbol, self._names = symbol, UniqueNames()
        self._tensors: dict[Any, str] = {}

    def add_inputs(self, parameters: Iterable[Any], shape_of: Callable[[Any], tuple[int | None, ...]]) -> None:
        for index, parameter in enumerate(parameters):
            shape = tuple(size or 0 for size in shape_of(parameter))
            self._tensors[parameter] = self._builder.input(f"input_{index}", shape)

    def add_operator(
        self, key: Any, kind: str, name: str, arguments: Iterable[Any], describe: Callable[[], Operator]
    ) -> None:
        """What the expression `key` computes of others. Raises GraphError where it breaks a rule of the machine."""
        op = self._known.get(name)
        unique = self._names.take(kind, name or None)
        if op is None:
            op = describe()
            require_accepted(unique, op, self._arch)
        inputs = tuple(map(self._tensor, arguments))
        self._tensors[key] = append_operator(self._builder, unique, inputs, op, self._arch)

    def add_alias(self, key: Any, other: Any) -> None:
        """The expression `key` is `other` under another name."""
        self._tensors[key] = self._tensor(other)

    def graph(self, outputs: Iterable[Any]) -> Graph:
        """The graph with these results, verified. Raises GraphError where one is nothing that was added."""
        graph = self._builder.build(list(map(self._tensor, outputs)))
        graph.verify(self._arch)
        return graph

    def _tensor(self, expr: Any) -> str:
        if expr not in self._tensors:
            raise foreign(self._symbol, expr)
        return self._tensors[expr]


def foreign(symbol: str, expr: Any) -> GraphError:
    return GraphError(f"{symbol}: the function holds {type(expr).__name__}, which is no composite of Re²Na")
