"""What the pipeline asks of a front end, as far as it is the same whichever TVM does the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.frontends.common.found import Found, Operators, Partitioned, Rejections, judge
from tvm_re2na.frontends.interface import Compiled, Dump, Lowered, Module, Params


class Steps(Protocol):
    """`partition.py` of either front end; an offloaded function is the TVM's own object."""

    def find(self, mod: Module, params: Params) -> Found:
        """The part of partitioning that depends on no machine."""

    def partition_found(self, found: Found, rejections: Rejections, arch: Architecture) -> Partitioned:
        """The module with functions for a machine that rejects these operators, as far as they are worth it."""

    def partition(self, mod: Module, params: Params, arch: Architecture) -> Partitioned:
        """Both, with `judge` between them."""

    def offloaded_functions(self, mod: Module) -> Iterable[tuple[str, Any]]:
        """(symbol, function) of everything Re²Na executes."""

    def feeds_of(self, mod: Module) -> Mapping[str, tuple[int | None, ...]]:
        """For each parameter of each of them, by its symbol, the number of the network's input that it is made of."""

    def border_bytes(self, function: Any) -> int:
        """Elements of a function's parameters and results, of an offloaded one or of the network."""

    def architecture_of(self, function: Any) -> Architecture:
        """The machine that a function was cut for."""


@dataclass(frozen=True)
class Jobs:
    """The jobs that are made of a front end's own steps."""

    steps: Steps
    lower: Callable[[Any, str, Architecture, Operators | None], Graph]
    offloaded_macs_share: Callable[[Module], float]

    def compile_for_re2na(self, mod: Module, params: Params, arch: Architecture, dump: Dump | None = None) -> Compiled:
        """As of `interface.Session`."""
        partitioned = self.steps.partition(mod, params, arch)
        programs = tuple(self.programs(partitioned, dump).items())
        feeds = self.steps.feeds_of(partitioned.module)
        share = self.offloaded_macs_share(partitioned.module)
        border = self.steps.border_bytes(partitioned.module["main"])
        return Compiled(programs, share, tuple(feeds[symbol] for symbol, _ in programs), border)

    def programs(self, partitioned: Partitioned, dump: Dump | None = None) -> dict[str, Program]:
        """Of every function for Re²Na, by its symbol; raises CompileError where the machine is too small."""
        functions = self.steps.offloaded_functions(partitioned.module)
        return {symbol: self.program(function, symbol, partitioned.operators, dump) for symbol, function in functions}

    def program(self, function: Any, symbol: str, known: Operators | None = None, dump: Dump | None = None) -> Program:
        """Of one function, for the machine that it was cut for; `known` as of `Lowering`."""
        arch = self.steps.architecture_of(function)
        return compile_graph(self.lower(function, symbol, arch, known), arch, dump=dump)

    def lower_for_each(self, mod: Module, params: Params, archs: Sequence[Architecture]) -> list[Lowered]:
        """As of `interface.Session`.

        The network is analysed once, and partitioned once for each set of operators that some machine has to reject; machines
        with the same set get the same object.
        """
        found = self.steps.find(mod, params)
        known: dict[frozenset[str], Lowered] = {}
        lowered = []
        for arch in archs:
            rejections = judge(found, arch)
            rejected = frozenset(rejections)
            if rejected not in known:
                known[rejected] = self._lowered(found, rejections, arch)
            lowered.append(known[rejected])
        return lowered

    def _lowered(self, found: Found, rejections: Rejections, arch: Architecture) -> Lowered:
        mod = self.steps.partition_found(found, rejections, arch).module
        functions = self.steps.offloaded_functions(mod)
        graphs = tuple(self.lower(function, symbol, arch, found.operators) for symbol, function in functions)
        return Lowered(graphs, self.offloaded_macs_share(mod), found.ends)
