"""Placement in space and time: nothing meets, the peak is near its bound, addresses are the best there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.emit.draft import Area, Draft, Loaded, Part, Schedule, Touch
from tvm_re2na.codegen.memory.live_ranges import area_regions, live_regions
from tvm_re2na.codegen.memory.occupancy import NEVER, Timeline
from tvm_re2na.codegen.memory.placement import (
    Group,
    Region,
    Segment,
    distance,
    largest_first,
    latest_first,
    live_bytes,
    lowest_address,
    place,
)
from tvm_re2na.codegen.memory.prefetch import plan_loads

TICKS = 24


def random_region(rng: np.random.Generator, key: int, pieces: int = 3) -> Region:
    segments, start = [], 0
    for _ in range(int(rng.integers(1, pieces + 1))):
        size, first = int(rng.integers(1, 9)) * 64, int(rng.integers(0, TICKS))
        segments.append(Segment(start, start + size, first, int(rng.integers(first, TICKS))))
        start += size
    return Region(key, tuple(segments))


def meet(a: Region, a_base: int, b: Region, b_base: int) -> bool:
    """Byte by byte and tick by tick."""
    taken = {(a_base + byte, tick) for s in a.segments for byte in range(s.start, s.stop, 64) for tick in ticks(s)}
    return any(
        (b_base + byte, tick) in taken for s in b.segments for byte in range(s.start, s.stop, 64) for tick in ticks(s)
    )


def ticks(segment: Segment) -> range:
    return range(segment.first, segment.last + 1)


@pytest.mark.parametrize("seed", range(20))
def test_placed_regions_never_meet_and_stay_near_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions = [random_region(rng, key) for key in range(14)]
    placement = place([Group(((region, 0),)) for region in regions], 2**20)
    assert not placement.failed
    for a, b in itertools.combinations(regions, 2):
        assert not meet(a, placement.addresses[a.key], b, placement.addresses[b.key])
    bound = int(live_bytes(regions, TICKS).max())
    assert bound <= placement.peak <= 1.6 * bound


def test_what_lives_last_lies_lowest_where_the_latest_come_first() -> None:
    sizes = (448, 448, 448, 128)  # maps of a chain of layers
    groups = [Group(((Region(tick, (Segment(0, size, tick, tick + 1),)), 0),)) for tick, size in enumerate(sizes)]
    found = [place(groups, 1024, rule=rule).addresses for rule in (largest_first, latest_first)]
    assert [[addresses[tick] for tick in range(4)] for addresses in found] == [[0, 448, 0, 448], [0, 576, 128, 0]]


@pytest.mark.parametrize(("pace", "cycles"), [(256, 480 // 24), (64, 4800 // 64)])
def test_what_is_coded_takes_the_bus_as_long_as_its_bytes_or_the_decoder(pace: int, cycles: int) -> None:
    halt = Draft("HALT", 0, {}, reads=(Touch("sram", "w", 0, 4800),))
    loaded = Loaded("w", 0, 4800, (Part(0, 4800, "record", 0, coded=480),), "area", roams=True)
    schedule = Schedule([halt], {"w": loaded}, {"area": Area(4800, 0)}, [0])
    machine = Architecture(weight_coding=WeightCoding.GOLOMB, decoder_bytes_per_cycle=pace)
    regions, areas = live_regions(schedule), area_regions(schedule)
    found = plan_loads(schedule, regions, areas, {"area": 0}, frozenset(), machine, 0)
    assert found.cycles == cycles + machine.dram_latency


@pytest.mark.parametrize("seed", range(20))
def test_the_lowest_address_is_the_lowest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    others = [(random_region(rng, key), int(rng.integers(0, 20)) * 64) for key in range(5)]
    region = random_region(rng, 99)
    found = lowest_address(Group(((region, 0),)).table(), Group(tuple(others)).table())
    free = [base for base in range(0, found + 64, 64) if not any(meet(region, base, o, at) for o, at in others)]
    assert free == [found]


@pytest.mark.parametrize("seed", range(20))
def test_the_distance_keeps_two_regions_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    below, above = random_region(rng, 0), random_region(rng, 1)
    assert not meet(below, 0, above, distance(below, above))


@pytest.mark.parametrize("seed", range(40))
def test_the_timeline_finds_where_bytes_are_free_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    capacity, size, first = 40 * 64, int(rng.integers(1, 12)) * 64, int(rng.integers(4, TICKS))
    fixed = [(int(rng.integers(0, 24)) * 64, random_region(rng, key)) for key in range(6)]
    timeline = Timeline(fixed, capacity)
    timeline.advance(2, TICKS)
    free = {
        base: max(
            [2, *(s.last + 1 if s.last < first else NEVER for at, region in fixed for s in region.segments
                  if at + s.start < base + size and base < at + s.stop and s.first <= TICKS and s.last >= 2)]
        )
        for base in range(0, capacity - size + 1, 64)
    }  # fmt: skip
    best = min(free.values())
    found = timeline.best_address(size, first, TICKS, 0.0)
    lowest = timeline.best_address(size, first, TICKS, -1)
    if best >= NEVER:
        assert found is None and lowest is None
        return
    assert found is not None and free[found] == best == timeline.free_from(found, found + size, first, TICKS, ())
    assert lowest == min(base for base, tick in free.items() if tick < NEVER)


def test_sizes_are_aligned() -> None:
    assert [aligned(size) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]
