"""Stage `plan`: which tensors stay in SRAM, how each unit is tiled, where every buffer lies.

Every activation is first assumed resident from its producer to its last consumer. Where that does not fit, the largest tensor in
the way moves to DRAM and the search starts again. A unit's weight buffers are claimed one unit early where there is room, so that
its first weights arrive while the unit before it computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import Block
from tvm_re2na.codegen.errors import UnitTooLarge
from tvm_re2na.codegen.memory import Buffer, Placement, aligned, live_bytes, place
from tvm_re2na.codegen.tile import Tiling, Where, blocks_of, tilings
from tvm_re2na.codegen.units import RelayoutUnit, Unit, UnitGraph

Key = tuple[str | int, str | int, int]  # ("tensor", name, 0) or (unit, role, turn)
SHRINK = (1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1)  # parts of the free bytes tried when fragmentation gets in the way


@dataclass(frozen=True)
class Plan:
    """`offsets`: SRAM address by key. `resident`: tensors that stay in SRAM while they live."""

    graph: UnitGraph
    blocks: tuple[list[Block], ...]
    tilings: tuple[Tiling, ...]
    resident: frozenset[str]
    offsets: dict[Key, int]
    sram_peak: int

    def where(self, unit: Unit) -> Where:
        return _where(unit, self.resident)

    def tensor_address(self, name: str) -> int:
        return self.offsets[("tensor", name, 0)]

    def buffer_address(self, unit: int, role: str, turn: int) -> int:
        return self.offsets[(unit, role, turn)]

    def __str__(self) -> str:
        lines = [f"sram peak {self.sram_peak}", f"resident {', '.join(sorted(self.resident))}"]
        for index, (unit, tiling) in enumerate(zip(self.graph.units, self.tilings, strict=True)):
            order = "strips outer" if tiling.strips_outer else "weights outer"
            lines.append(f"{index} {unit.output}: {len(tiling.strips)} strips, {len(tiling.slices)} slices, {order}")
            lines += [
                f"    {role}[{turn}] {size} bytes at {self.offsets[(index, role, turn)]}"
                for (role, turn), size in tiling.buffers.items()
            ]
        return "\n".join(lines) + "\n"


def make_plan(graph: UnitGraph, arch: Architecture, names: Callable[[Unit], str]) -> Plan:
    """Raises UnitTooLarge for a unit whose smallest tiling does not fit even with every tensor in DRAM."""
    return _Planner(graph, arch, names).run()


class _Planner:
    def __init__(self, graph: UnitGraph, arch: Architecture, names: Callable[[Unit], str]) -> None:
        self.graph = graph
        self.arch = arch
        self.names = names
        self.blocks = tuple(blocks_of(unit, arch) for unit in graph.units)
        self.lives = _lives(graph)
        self.resident = {
            name for name, stored in graph.stored.items() if name in self.lives and stored.bytes <= arch.sram_bytes
        }
        self.choices: dict[tuple[int, Where], list[Tiling]] = {}
        self.shrink = [0] * len(graph.units)
        self.early = [True] * len(graph.units)

    def run(self) -> Plan:
        while True:
            chosen = self._choose()
            if isinstance(chosen, int):
                self._evict(chosen)
                continue
            placement = place(self._buffers(chosen), self.arch.sram_bytes)
            if placement.failed is None:
                return self._finish(chosen, placement)
            self._make_room(placement.failed)

    def _choose(self) -> list[Tiling] | int:
        """The cheapest tiling of each unit that fits beside the resident tensors, or the first unit that has none."""
        tensors = self._tensor_buffers()
        chosen = []
        for index, unit in enumerate(self.graph.units):
            free = self.arch.sram_bytes - live_bytes(tensors, index)
            budget = int(free * SHRINK[self.shrink[index]])
            fitting = next((plan for plan in self._tilings(index, unit) if plan.bytes <= budget), None)
            if fitting is None:
                return index
            chosen.append(fitting)
        return chosen

    def _tilings(self, index: int, unit: Unit) -> list[Tiling]:
        key = (index, _where(unit, self.resident))
        if key not in self.choices:
            self.choices[key] = tilings(unit, self.blocks[index], key[1], self.arch)
        return self.choices[key]

    def _evict(self, index: int) -> None:
        """Move the largest resident tensor that lives at unit `index` to DRAM."""
        living = [name for name in self.resident if self.lives[name][0] <= index <= self.lives[name][1]]
        if not living:
            unit = self.graph.units[index]
            required = min(plan.bytes for plan in self._tilings(index, unit))
            raise UnitTooLarge(index, self.names(unit), required, self.arch.sram_bytes)
        self.resident.remove(max(living, key=lambda name: (self.graph.stored[name].bytes, name)))
        self.shrink[index] = 0

    def _make_room(self, failed: Buffer) -> None:
        """Give up an early weight buffer, then a part of a unit's budget, then a resident tensor."""
        nearby = range(max(0, failed.first), min(failed.last + 2, len(self.early)))
        for index in nearby:
            if self.early[index]:
                self.early[index] = False
                return
        for index in range(failed.first, failed.last + 1):
            if self.shrink[index] + 1 < len(SHRINK) and self._still_fits(index, self.shrink[index] + 1):
                self.shrink[index] += 1
                return
        self._evict(failed.first)

    def _still_fits(self, index: int, shrink: int) -> bool:
        free = self.arch.sram_bytes - live_bytes(self._tensor_buffers(), index)
        return any(plan.bytes <= int(free * SHRINK[shrink]) for plan in self._tilings(index, self.graph.units[index]))

    def _tensor_buffers(self) -> list[Buffer]:
        return [
            Buffer(("tensor", name, 0), self.graph.stored[name].bytes, *self.lives[name])
            for name in sorted(self.resident)
        ]

    def _buffers(self, chosen: list[Tiling]) -> list[Buffer]:
        buffers = self._tensor_buffers()
        for index, tiling in enumerate(chosen):
            for (role, turn), size in tiling.buffers.items():
                early = role == "weight" and self.early[index]
                buffers.append(Buffer((index, role, turn), size, max(0, index - early), index))
        return buffers

    def _finish(self, chosen: list[Tiling], placement: Placement) -> Plan:
        offsets = {key: offset for key, offset in placement.offsets.items() if isinstance(key, tuple)}
        return Plan(self.graph, self.blocks, tuple(chosen), frozenset(self.resident), offsets, aligned(placement.peak))


def _where(unit: Unit, resident: set[str] | frozenset[str]) -> Where:
    return Where(tuple(name in resident for name in unit.inputs), unit.output in resident)


def _lives(graph: UnitGraph) -> dict[str, tuple[int, int]]:
    """First and last unit that touches each tensor. A relayout goes through DRAM and needs its two sides one after the other."""
    lives: dict[str, tuple[int, int]] = {}
    for index, unit in enumerate(graph.units):
        for name in (*unit.inputs, unit.output):
            first, _ = lives.get(name, (index, index))
            lives[name] = (first, index)
    return lives


def uses_scratch(unit: Unit) -> bool:
    """Whether the unit needs DRAM of its own, as large as its input."""
    return isinstance(unit, RelayoutUnit)
