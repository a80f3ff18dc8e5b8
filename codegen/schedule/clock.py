"""When the array and the DRAM bus have done what a row of stages asks of them, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Cycles: of a transfer that must be over before the array begins, on the array, and of a transfer of what it has made."""

    load: int = 0
    compute: int = 0
    store: int = 0


@dataclass(frozen=True)
class Clock:
    """Cycles after which the array, and the bus, is free."""

    array: int = 0
    bus: int = 0

    @property
    def end(self) -> int:
        return max(self.array, self.bus)

    def after(
        self, phases: Sequence[Phase], switch: int, ahead: int, latency: int, exposed: int, overlap: bool = True
    ) -> Clock:
        """When these are done as well. The array is switched first. Loads begin up to `ahead` cycles before it is free (the first
        of them or, without `overlap`, each), come before stores, and are there `latency` cycles later. For `exposed` cycles in
        the end the array waits for the bus."""
        loaded = max(self.bus, self.array - ahead)
        stored = loaded + sum(phase.load for phase in phases)
        array = self.array + switch
        for phase in phases:
            if phase.load:
                loaded = (loaded if overlap else max(loaded, array - ahead)) + phase.load
                array = max(array, loaded + latency)
            array += phase.compute
            if phase.store:
                stored = max(stored, array) + phase.store
        return Clock(array + exposed, max(stored, loaded) + exposed)
