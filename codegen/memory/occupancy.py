"""Which bytes of the SRAM are in use when; asked with ticks that never go back."""

from __future__ import annotations

from collections.abc import Container, Hashable, Sequence

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.bytes import ALIGNMENT
from tvm_re2na.codegen.memory.placement import Ints, Region, Segment

NEVER = 2**62  # a tick that does not come


class Timeline:
    """Starts with regions at fixed addresses; more are added as they find theirs."""

    def __init__(self, fixed: Sequence[tuple[int, Region]], capacity: int) -> None:
        self.capacity = capacity
        self.now = 0
        self._active: list[tuple[int, int, int, int, Hashable]] = []  # start, stop, first, last, key
        self._coming = sorted(
            (
                (base + segment.start, base + segment.stop, segment.first, segment.last, region.key)
                for base, region in fixed
                for segment in region.segments
            ),
            key=lambda item: item[2],
            reverse=True,
        )

    def advance(self, now: int, until: int) -> None:
        """Forget what ended before `now`; look ahead to `until`."""
        self.now = now
        while self._coming and self._coming[-1][2] <= until:
            self._active.append(self._coming.pop())
        self._active = [item for item in self._active if item[3] >= now]

    def add(self, base: int, segment: Segment, key: Hashable) -> None:
        self._active.append((base + segment.start, base + segment.stop, segment.first, segment.last, key))

    def free_from(self, start: int, stop: int, first: int, last: int, own: Container[Hashable]) -> int:
        """The tick from which bytes start..stop are free until they are used from `first` to `last`; NEVER if they are not. What is
        `own` is not in the way."""
        free = self.now
        for low, high, born, dies, other in self._active:
            if low < stop and start < high and born <= last and other not in own:
                if dies >= first:
                    return NEVER
                free = max(free, dies + 1)
        return free

    def best_address(self, size: int, first: int, last: int, patience: float) -> int | None:
        """Where `size` bytes are free early, or None if nowhere in time.

        What counts is the tick at which the last byte is free plus `patience` times that of the average byte; with no patience at
        all (less than 0) it is the lowest place.
        """
        starts, frees = self._profile(first, last)
        borders = np.append(starts, self.capacity)
        bases = np.unique(np.concatenate([-(-starts // ALIGNMENT), (borders - size) // ALIGNMENT])) * ALIGNMENT
        bases = bases[(bases >= 0) & (bases <= self.capacity - size)]
        if not bases.size:
            return None
        low = np.searchsorted(starts, bases, "right") - 1
        high = np.searchsorted(starts, bases + size, "left")
        latest = np.maximum.reduceat(np.append(frees, 0), np.stack([low, high], 1).ravel())[::2]
        free_now = np.flatnonzero(latest <= self.now if patience >= 0 else latest < NEVER)
        if free_now.size:
            return int(bases[free_now[0]])
        if latest.min() >= NEVER or patience < 0:
            return None
        waits = _integral(borders, np.where(frees < NEVER, frees, 0), bases, bases + size)
        return int(bases[np.argmin(np.where(latest < NEVER, latest + patience * waits / size, np.inf))])

    def _profile(self, first: int, last: int) -> tuple[Ints, Ints]:
        """From which tick the bytes from each start on (up to the next start) are free."""
        items = [
            (low, high, NEVER if dies >= first else dies + 1)
            for low, high, born, dies, _ in self._active
            if born <= last
        ]
        starts = np.array(sorted({0, *(edge for low, high, _ in items for edge in (low, high))}), np.int64)
        frees = np.full(len(starts), self.now, np.int64)
        for index, until, (_, _, free) in zip(
            np.searchsorted(starts, [low for low, _, _ in items]),
            np.searchsorted(starts, [high for _, high, _ in items]),
            items,
            strict=True,
        ):
            np.maximum(frees[index:until], free, out=frees[index:until])
        kept = np.append(True, frees[1:] != frees[:-1]) & (starts < self.capacity)
        return starts[kept], frees[kept]


def _integral(borders: Ints, values: Ints, low: Ints, high: Ints) -> npt.NDArray[np.float64]:
    """The sum over low..high of a function that is values[i] from borders[i] to borders[i + 1]."""
    sums = np.concatenate([[0.0], np.cumsum(np.diff(borders) * values.astype(np.float64))])
    total: npt.NDArray[np.float64] = np.interp(high, borders, sums) - np.interp(low, borders, sums)
    return total
