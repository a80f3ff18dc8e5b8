"""Machines that are not compiled because another, which was, is as good as theirs can be at best.

What no schedule can beat (docs/bounds.md) says of a machine how few cycles and bytes it might need; its area is known. A machine
that is beaten so is on no front, whatever its program. Which machines are left out follows from the front alone, and so is the same
whoever computes the rest, in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.bounds import network_bounds
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.exploration.point import without_prices

Costs: TypeAlias = tuple[int, int, float]  # cycles, DRAM bytes, area


@dataclass(frozen=True)
class Candidate:
    """A machine of the grid with what it runs, and the share of MACs that are."""

    arch: Architecture
    graphs: tuple[Graph, ...]
    share: float


@dataclass(frozen=True)
class Known:
    """A machine that was compiled for: its costs, and the share of MACs that it runs."""

    share: float
    costs: Costs

    def beats(self, share: float, bound: Costs) -> bool:
        """Whether a machine with such a bound would be on no front."""
        if self.share != share:
            return self.share > share
        return self.costs != bound and all(mine <= least for mine, least in zip(self.costs, bound, strict=True))


class Pruner:
    """Bounds of machines, the cheap one first: that of the largest SRAM of the grid holds for every smaller one."""

    def __init__(self, machines: Sequence[Candidate]) -> None:
        self.machines = machines
        self._largest = max((machine.arch.sram_bytes for machine in machines), default=0)
        self._folded: dict[int, tuple[Graph, ...]] = {}
        self._bounds: dict[tuple[int, Architecture], tuple[int, int]] = {}

    def order(self) -> list[int]:
        """A machine can be beaten by smaller ones alone: those come first, and of those of one size the fast."""
        return sorted(range(len(self.machines)), key=lambda index: (*reversed(self.at_best(index)), index))

    def at_best(self, index: int) -> Costs:
        """The bound with the largest SRAM."""
        return self._bound(index, self._largest)

    def beaten(self, index: int, known: Iterable[Known]) -> Costs | None:
        """The bound by which one of `known` beats a machine; None where none does."""
        share, rivals = self.machines[index].share, list(known)
        for sram_bytes in dict.fromkeys((self._largest, self.machines[index].arch.sram_bytes)):
            bound = self._bound(index, sram_bytes)
            if any(rival.beats(share, bound) for rival in rivals):
                return bound
        return None

    def _bound(self, index: int, sram_bytes: int) -> Costs:
        """Cycles and DRAM bytes of one inference, and the machine's own area."""
        machine = self.machines[index]
        key = (id(machine.graphs), replace(without_prices(machine.arch), sram_bytes=sram_bytes))
        if key not in self._bounds:
            self._bounds[key] = self._network(machine.graphs, key[1])
        return (*self._bounds[key], machine.arch.area_mm2)

    def _network(self, graphs: tuple[Graph, ...], arch: Architecture) -> tuple[int, int]:
        if id(graphs) not in self._folded:
            self._folded[id(graphs)] = tuple(map(fold, graphs))
        cycles = size = 0
        for graph in self._folded[id(graphs)]:
            bounds, batch = network_bounds(graph, arch), graph.shapes[graph.inputs[0]][0]
            cycles += bounds.cycles // batch
            size += bounds.dram_bytes // batch
        return cycles, size
