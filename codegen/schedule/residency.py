"""Which stored tensors live in SRAM, from which unit to which, and which of them take another one's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.units import UnitGraph


class Tensors:
    """`spilled` tensors move through DRAM; all others stay in SRAM from their producer to their last consumer."""

    def __init__(self, graph: UnitGraph, spilled: frozenset[str]) -> None:
        self.graph = graph
        self.spilled = spilled
        self.border = frozenset(stored for _, _, stored in graph.outputs)
        self.inputs = frozenset(stored for _, _, stored in graph.inputs)
        writers = Counter(unit.output for unit in graph.units)
        self.bundled = frozenset(name for name, count in writers.items() if count > 1)  # made by several units
        self.lives: dict[str, tuple[int, int]] = {}
        for index, unit in enumerate(graph.units):
            for name in (*unit.inputs, unit.output):
                self.lives[name] = (self.lives.get(name, (index, index))[0], index)
        self._at: list[list[str]] = [[] for _ in graph.units]
        for name, (first, last) in self.lives.items():
            for index in range(first, last + 1):
                self._at[index].append(name)
        self._living: dict[tuple[int, int], int] = {}

    def size(self, name: str) -> int:
        return aligned(self.graph.stored[name].bytes)

    def resident(self, name: str) -> bool:
        return name not in self.spilled

    def living(self, first: int, last: int) -> set[str]:
        """Resident tensors that exist as a whole at some of the units first .. last; of two in one place, one."""
        names = {name for index in range(first, last + 1) for name in self._at[index]}
        if first == last:
            names.discard(self._replaced(first) or "")
        return {name for name in names - self.spilled if not self.is_inner(name, first, last)}

    def living_bytes(self, first: int, last: int) -> int:
        """Sizes of `living`, added up."""
        key = (first, last)
        if key not in self._living:
            self._living[key] = sum(self.size(name) for name in self.living(first, last))
        return self._living[key]

    def is_inner(self, name: str, first: int, last: int) -> bool:
        """Whether a tensor is made and used up by the units first .. last, the last one's output aside."""
        born, dies = self.lives[name]
        made = name not in self.inputs and name != self.graph.units[last].output
        return made and first <= born < dies <= last and name not in self.border

    def is_cascade(self, first: int, last: int) -> bool:
        """Whether only the last of the units makes something that others use, and all see every tensor in one shape."""
        units = self.graph.units[first : last + 1]
        plain = all(unit.joins_cascades for unit in units)
        return plain and all(self.is_inner(unit.output, first, last) for unit in units[:-1]) and self._seen_alike(units)

    def homes(self, stages: Sequence[Stage]) -> dict[str, str]:
        """The tensor in whose bytes each tensor lies; not in those of an operand that other units of a cascade read as well."""
        home = {name: name for name in self.graph.stored}
        for stage in stages:
            operand = self._replaced(stage.last)
            others = [name for unit in stage.cascade.units[:-1] for name in unit.inputs]
            if operand is not None and operand not in others and operand not in stage.cascade.inner:
                home[stage.output] = home[operand]
        return home

    def _replaced(self, index: int) -> str | None:
        """The operand that ends with a sum of two tensors, and whose bytes the sum may take, if there is one."""
        unit = self.graph.units[index]
        if len(unit.inputs) != 2 or unit.inputs[0] == unit.inputs[1] or unit.output in self.spilled:
            return None
        if unit.output in self.bundled:
            return None
        kept, stored = self.inputs | self.border | self.spilled, self.graph.stored
        ending = (name for name in unit.replaceable if self.lives[name][1] == index and name not in kept)
        return next((name for name in ending if stored[name].bytes == stored[unit.output].bytes), None)

    def _seen_alike(self, units: Sequence[Unit]) -> bool:
        return all(
            unit.stored_shape(operand) == self.graph.stored[name].shape
            for unit in units
            for operand, name in enumerate(unit.inputs)
        )
