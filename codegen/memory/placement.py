"""SRAM placement: regions with live ranges in space and time.

A region is what one buffer occupies: a list of segments, each of some bytes for some ticks (steps of the program). Most have one
segment; a tensor that is made or used up strip by strip has one for each piece, so that its rows are free as soon as nobody needs
them and two regions may share addresses wherever their segments do not meet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.bytes import ALIGNMENT, aligned

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """Bytes start..stop of a region, in use from tick `first` to tick `last`, both included."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Region:
    """The segments of one buffer; offsets are relative to its address."""

    key: Hashable
    segments: tuple[Segment, ...]

    @property
    def bytes(self) -> int:
        return max(segment.stop for segment in self.segments)

    @property
    def first(self) -> int:
        return min(segment.first for segment in self.segments)

    @property
    def last(self) -> int:
        return max(segment.last for segment in self.segments)


@dataclass(frozen=True)
class Group:
    """Regions at fixed distances: (region, offset). Those `from_above` take the highest place, others the lowest."""

    members: tuple[tuple[Region, int], ...]
    from_above: bool = False

    @property
    def area(self) -> int:
        return sum(region.bytes for region, _ in self.members)

    @property
    def bytes(self) -> int:
        return max(offset + region.bytes for region, offset in self.members)

    @property
    def first(self) -> int:
        return min(region.first for region, _ in self.members)

    def table(self) -> Ints:
        """A row (start, stop, first, last) per segment."""
        return np.array(
            [
                (offset + segment.start, offset + segment.stop, segment.first, segment.last)
                for region, offset in self.members
                for segment in region.segments
            ],
            np.int64,
        ).reshape(-1, 4)


Rule: TypeAlias = Callable[[Group], tuple[int, int, str]]


@dataclass(frozen=True)
class Placement:
    """Addresses by key; `failed` are the regions of the first group that found no room, if any."""

    addresses: dict[Hashable, int]
    peak: int
    failed: tuple[Region, ...] = ()


def live_bytes(regions: Iterable[Region], ticks: int) -> Ints:
    """Bytes in use at each tick; no placement can do with less than the largest of these."""
    changes = np.zeros(ticks + 1, np.int64)
    for region in regions:
        for segment in region.segments:
            changes[segment.first] += segment.stop - segment.start
            changes[segment.last + 1] -= segment.stop - segment.start
    return np.cumsum(changes)[:-1]


def distance(below: Region, above: Region) -> int:
    """How far `below` must start below `above` so that the two share addresses without ever meeting."""
    low, high = Group(((below, 0),)).table(), Group(((above, 0),)).table()
    meet = (low[:, None, 2] <= high[None, :, 3]) & (high[None, :, 2] <= low[:, None, 3])
    gaps = (low[:, None, 1] - high[None, :, 0])[meet]
    return aligned(max(0, int(gaps.max()))) if gaps.size else 0


def highest_address(table: Ints, taken: Ints, capacity: int) -> int:
    """The highest base below `capacity` at which no segment of `table` meets one of `taken`; less than 0 if there is none."""
    top, size = capacity // ALIGNMENT * ALIGNMENT, aligned(int(table[:, 1].max()))
    return top - size - lowest_address(_mirrored(table, size), _mirrored(taken, top))


def _mirrored(table: Ints, size: int) -> Ints:
    return np.concatenate([size - table[:, 1:2], size - table[:, :1], table[:, 2:]], 1)


def largest_first(group: Group) -> tuple[int, int, str]:
    """Packs well."""
    return -group.bytes, group.first, str(group.members[0][0].key)


def latest_first(group: Group) -> tuple[int, int, str]:
    """What lives last lies lowest: high places are soon free for good."""
    return -group.first, -group.bytes, str(group.members[0][0].key)


def place(groups: Sequence[Group], capacity: int, retries: int = 24, rule: Rule = largest_first) -> Placement:
    """Each group at the lowest address that is free over its life; in the order of a rule, and what failed before it in the next
    try."""
    order = sorted(groups, key=rule)
    result = Placement({}, capacity)
    for _ in range(retries):
        result, failed = _place_in_order(order, capacity)
        if failed is None or order[0] is failed:
            return result
        order = [failed, *(group for group in order if group is not failed)]
    return result


def _place_in_order(order: Sequence[Group], capacity: int) -> tuple[Placement, Group | None]:
    addresses: dict[Hashable, int] = {}
    taken = np.zeros((0, 4), np.int64)
    peak = 0
    for group in order:
        table = group.table()
        base = highest_address(table, taken, capacity) if group.from_above else lowest_address(table, taken)
        if base < 0 or base + group.bytes > capacity:
            return Placement(addresses, capacity, tuple(region for region, _ in group.members)), group
        addresses.update({region.key: base + offset for region, offset in group.members})
        table[:, :2] += base
        taken = np.concatenate([taken, table])
        peak = max(peak, base + group.bytes)
    return Placement(addresses, peak), None


def lowest_address(table: Ints, taken: Ints) -> int:
    """The lowest base at which no segment of `table` meets one of `taken`."""
    near = taken[(taken[:, 2] <= table[:, 3].max()) & (table[:, 2].min() <= taken[:, 3])]
    meet = (table[:, None, 2] <= near[None, :, 3]) & (near[None, :, 2] <= table[:, None, 3])
    above = (near[None, :, 0] - table[:, None, 1])[meet]  # a base up to here is below the other
    below = (near[None, :, 1] - table[:, None, 0])[meet]  # a base from here on is above it
    base = 0
    for index in np.argsort(above, kind="stable"):
        if above[index] >= base:
            break
        base = max(base, aligned(int(below[index])))
    return base
