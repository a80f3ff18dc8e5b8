"""Which bytes of the SRAM are in use when; asked with ticks that never go back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence

from tvm_re2na.codegen.memory import ALIGNMENT, Region, Segment, aligned

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

    def free_from(self, start: int, stop: int, first: int, last: int, key: Hashable) -> int:
        """The tick from which bytes start..stop are free until they are used from `first` to `last`; NEVER if they are not."""
        free = self.now
        for low, high, born, dies, other in self._active:
            if low < stop and start < high and born <= last and other != key:
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
        edges = {aligned(start) for start in starts} | {
            (start - size) // ALIGNMENT * ALIGNMENT for start in (*starts, self.capacity)
        }
        best: tuple[float, int] | None = None
        for base in sorted(edge for edge in edges if 0 <= edge <= self.capacity - size):
            pieces = slice(bisect_right(starts, base) - 1, bisect_left(starts, base + size))
            latest = max(frees[pieces])
            if latest >= NEVER:
                continue
            if patience < 0 or latest <= self.now:
                return base
            borders = [base, *starts[pieces.start + 1 : pieces.stop], base + size]
            waits = sum((b - a) * free for a, b, free in zip(borders, borders[1:], frees[pieces], strict=False))
            cost = latest + patience * waits / size
            if best is None or cost < best[0]:
                best = (cost, base)
        return best[1] if best else None

    def _profile(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """From which tick the bytes from each start on (up to the next start) are free."""
        items = [
            (low, high, NEVER if dies >= first else dies + 1)
            for low, high, born, dies, _ in self._active
            if born <= last
        ]
        starts = sorted({0, *(edge for low, high, _ in items for edge in (low, high))})
        frees = [self.now] * len(starts)
        position = {edge: index for index, edge in enumerate(starts)}
        for low, high, free in items:
            for index in range(position[low], position[high]):
                frees[index] = max(frees[index], free)
        kept = [index for index in range(len(starts)) if index == 0 or frees[index] != frees[index - 1]]
        return [starts[index] for index in kept], [frees[index] for index in kept]
