"""Which stored tensors lie in SRAM, in which stage, and which of them take another one's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.units import UnitGraph


class Tensors:
    """What is so of the stored tensors wherever they lie. `lives`: the first and the last unit that touches each."""

    def __init__(self, graph: UnitGraph) -> None:
        self.graph = graph
        self.border = frozenset(stored for _, _, stored in graph.outputs)
        self.inputs = frozenset(stored for _, _, stored in graph.inputs)
        writers = Counter(unit.output for unit in graph.units)
        self.bundled = frozenset(name for name, count in writers.items() if count > 1)  # made by several units
        self.finished = {unit.output: index for index, unit in enumerate(graph.units)}  # the last that makes some of it
        self.lives: dict[str, tuple[int, int]] = {}
        for index, unit in enumerate(graph.units):
            for name in (*unit.inputs, unit.output):
                self.lives[name] = (self.lives.get(name, (index, index))[0], index)

    def size(self, name: str) -> int:
        return aligned(self.graph.stored[name].bytes)

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

    def replaced(self, index: int, resident: frozenset[str]) -> str | None:
        """The operand in SRAM that ends with a sum of two tensors, and whose bytes the sum may take, if there is one."""
        unit = self.graph.units[index]
        if len(unit.inputs) != 2 or unit.inputs[0] == unit.inputs[1] or unit.output not in resident:
            return None
        if unit.output in self.bundled:
            return None
        kept, stored = self.inputs | self.border, self.graph.stored
        ending = (name for name in unit.replaceable if self.lives[name][1] == index and name in resident - kept)
        return next((name for name in ending if stored[name].bytes == stored[unit.output].bytes), None)

    def _seen_alike(self, units: Sequence[Unit]) -> bool:
        return all(
            unit.stored_shape(operand) == self.graph.stored[name].shape
            for unit in units
            for operand, name in enumerate(unit.inputs)
        )


@dataclass(frozen=True)
class Placed:
    """A stage and all tensors that are in SRAM as a whole while it is at work, those among them that it does not touch."""

    stage: Stage
    living: frozenset[str]


class Residence:
    """Where every tensor is in each stage of a plan."""

    def __init__(self, tensors: Tensors, plan: Sequence[Placed]) -> None:
        self.tensors = tensors
        self.plan = plan
        self.keys: list[dict[str, Hashable]] = list(self._keys())

    def _keys(self) -> Iterator[dict[str, Hashable]]:
        """For each stage the buffers of tensors in SRAM. One that comes back from DRAM has another; a sum may have an operand's."""
        versions: Counter[str] = Counter()
        here: dict[str, Hashable] = {}
        for placed in self.plan:
            here = {name: key for name, key in here.items() if name in placed.living}
            operand = self._replaced(placed.stage)
            for name in sorted(placed.living - here.keys(), key=lambda name: (name == placed.stage.output, name)):
                if name == placed.stage.output and operand is not None:
                    here[name] = here[operand]
                    continue
                here[name] = ("tensor", name, versions[name]) if versions[name] else ("tensor", name)
                versions[name] += 1
            yield here

    def _replaced(self, stage: Stage) -> str | None:
        """Not where other units of a cascade read the operand as well."""
        operand = self.tensors.replaced(stage.last, stage.sides.resident)
        others = [name for unit in stage.cascade.units[:-1] for name in unit.inputs]
        return None if operand is None or operand in others or operand in stage.cascade.inner else operand

    @cached_property
    def records(self) -> dict[int, int]:
        """For each unit, the one by whose index its records in DRAM are known: units with the same blocks have the same ones."""
        first: dict[Weights, int] = {}
        chosen = (pair for placed in self.plan for pair in enumerate(placed.stage.weights, placed.stage.first))
        return {index: first.setdefault(weights, index) if weights.blocks else index for index, weights in chosen}

    @cached_property
    def stored(self) -> frozenset[str]:
        """Tensors that the program makes and sends to DRAM: its outputs, and what a stage does not find in SRAM."""
        found = set(self.tensors.border)
        for placed in self.plan:
            stage = placed.stage
            found |= stage.touched - (stage.sides.resident - stage.sides.fetched)
        return frozenset(found) - self.tensors.inputs
