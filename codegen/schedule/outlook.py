"""What is still to come behind each unit, whatever the stages: the search prefers ways that leave room for it."""

from __future__ import annotations

from functools import cached_property

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.residency import Tensors

LARGE = 2  # tensors of more than such a part of the SRAM leave loads little room


class Outlook:
    """Of a network's units, on one machine."""

    def __init__(self, tensors: Tensors, cost: CostModel, arch: Architecture) -> None:
        self.tensors = tensors
        self.units = tensors.graph.units
        self.cost = cost
        self.arch = arch

    @cached_property
    def living(self) -> list[int]:
        """Bytes of the tensors that live at each unit."""
        living = [0] * len(self.units)
        for name, (born, dies) in self.tensors.lives.items():
            for index in range(born, dies + 1):
                living[index] += self.tensors.size(name)
        return living

    def is_large(self, index: int) -> bool:
        """Whether they leave little room for loads."""
        return self.living[index] > self.arch.sram_bytes // LARGE

    @cached_property
    def to_come(self) -> list[tuple[int, int]]:
        """From each unit to the end, the fewest cycles once the array is free, and those of loads; (0, 0) behind the last."""
        found, size = [(0, 0)], self.arch.sram_bytes
        for index in range(len(self.units) - 1, -1, -1):
            after, loads = found[-1]
            compute, load = self._least(index)
            # loads that have no room before the unit is done; a cascade may hold less than all of what is large
            waiting = loads - self.cost.transfer_cycles(size - min(self.living[index], size // LARGE))
            found.append((compute + max(after, waiting), loads + load))
        return found[::-1]

    def _least(self, index: int) -> tuple[int, int]:
        """Fewest cycles of the unit on the array, and fewest of its loads."""
        unit, weights = self.units[index], self.cost.weights
        batch, _, height, width = unit.out_shape
        known, steps = weights.of_all_shapes(index), (unit.part_steps(self.arch) or [0])[0]
        compute = min(self.cost.unit_cycles(index, of, {batch * height * width: 1}, steps) for of in known)
        return compute, min(self.cost.transfer_cycles(weights.bus_bytes(index, of)) for of in known)
