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


class Limit(NamedTuple):
    """So many cycles of loads, from the start of the program, may be there before the array has come to `until`."""

    loads: int
    until: int


@dataclass(frozen=True)
class Clock:
    """Cycles after which the array, and the bus, is free; cycles of all loads so far. `limits`: what earlier stages left of the
    SRAM for loads of later ones, both of their numbers rising."""

    array: int = 0
    bus: int = 0
    loads: int = 0
    limits: tuple[Limit, ...] = ()

    @property
    def end(self) -> int:
        return max(self.array, self.bus)

    def after(
        self, phases: Sequence[Phase], switch: int, ahead: int, latency: int, exposed: int, buffers: Buffers
    ) -> Clock:
        """When these are done as well. The array is switched first. `ahead` cycles of later loads fit beside them. Loads come
        before stores, and are there `latency` cycles later. For `exposed` cycles in the end the array waits for the bus."""
        loads, loaded = self.loads, self.bus
        total = loads + sum(phase.load for phase in phases)
        stored = max(loaded, self._room_for(total)) + total - loads
        array = self.array + switch
        left: list[int] = []  # when the results have left each buffer of theirs
        for phase in phases:
            if phase.load:
                loads += phase.load
                free = array - ahead if buffers.loads == 1 else 0
                loaded = max(loaded, free, self._room_for(loads)) + phase.load
                array = max(array, loaded + latency)
            if len(left) == buffers.stores > 0:
                array = max(array, left.pop(0))
            array += phase.compute
            if phase.store:
                stored = max(stored, array) + phase.store
                left.append(stored + latency)
        array += exposed
        limit = Limit(loads + ahead, array)
        limits = (*(known for known in self.limits if loads <= known.loads < limit.loads), limit)
        return Clock(array, max(stored, loaded) + exposed, loads, limits)

    def _room_for(self, loads: int) -> int:
        """When there is."""
        return max((limit.until for limit in self.limits if limit.loads < loads), default=0)

    def at_best(self, compute: int, loads: int) -> int:
        """The end, if so many cycles of either are to come and nothing else has to wait."""
        total = self.loads + loads
        rooms = (limit.until + total - limit.loads for limit in self.limits if limit.loads < total)
        return max(self.array + compute, self.bus + loads, *rooms)
