"""When the array and the DRAM bus have done what a row of stages asks of them, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Phase:
    """Cycles: of a transfer that must be over before the array begins, on the array, and of a transfer of what it has made."""

    load: int = 0
    compute: int = 0
    store: int = 0


class Buffers(NamedTuple):
    """How many there are in turn of what is loaded, and of results on their way out (0: they have a place of their own)."""

    loads: int
    stores: int


@dataclass(frozen=True)
class Clock:
    """Cycles after which the array, and the bus, is free."""

    array: int = 0
    bus: int = 0

    @property
    def end(self) -> int:
        return max(self.array, self.bus)

    def after(
        self, phases: Sequence[Phase], switch: int, ahead: int, latency: int, exposed: int, buffers: Buffers
    ) -> Clock:
        """When these are done as well. The array is switched first. Loads begin up to `ahead` cycles before it is free, come before
        stores, and are there `latency` cycles later. For `exposed` cycles in the end the array waits for the bus."""
        loaded = max(self.bus, self.array - ahead)
        stored = loaded + sum(phase.load for phase in phases)
        array = self.array + switch
        left: list[int] = []  # when the results have left each buffer of theirs
        for phase in phases:
            if phase.load:
                loaded = (max(loaded, array - ahead) if buffers.loads == 1 else loaded) + phase.load
                array = max(array, loaded + latency)
            if len(left) == buffers.stores > 0:
                array = max(array, left.pop(0))
            array += phase.compute
            if phase.store:
                stored = max(stored, array) + phase.store
                left.append(stored + latency)
        return Clock(array + exposed, max(stored, loaded) + exposed)
