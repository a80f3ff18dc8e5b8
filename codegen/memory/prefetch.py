"""Pass `prefetch`: where what streams through the SRAM lies, and in which order and when it is loaded.

The DRAM must never wait while there is room. So weights are not loaded layer by layer, but as far ahead as the SRAM holds: each
buffer of them, in the order of first use, gets the address whose bytes become free first, or its place in the area of its
stage, and is loaded in pieces, each of which waits for its own bytes only. A small replay of bus and array decides which piece
goes next: the one that is needed first among those whose bytes are free, so that a piece that must wait holds up none that need
not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Loaded, Part, Schedule, Touch
from tvm_re2na.codegen.isa.durations import Durations, duration_parts
from tvm_re2na.codegen.memory.occupancy import NEVER, Timeline
from tvm_re2na.codegen.memory.placement import Region

PIECE_BYTES = 16 * 1024  # of one load: long enough to hide the latency of the next one
WINDOW = 48  # pieces that the bus may choose among
GOOD_ENOUGH = 1.002  # times the goal: nothing better is looked for
PATIENCE = (1.0, 0.0, 4.0)  # rules for choosing addresses that are tried; see Timeline.best_address
MOST_PIECES = 16_000  # in all that is tried


@dataclass(frozen=True)
class Issue:
    """A load, to be issued before the draft number `tick`."""

    tick: int
    draft: Draft


@dataclass(frozen=True)
class Prefetch:
    """`cycles`: the replay's estimate of the whole run. `failed`: the first buffer that found no room, if any."""

    issues: list[Issue]
    addresses: dict[Hashable, int]
    cycles: int
    failed: Region | None


@dataclass(frozen=True)
class Piece:
    """Some bytes of a buffer; needed by the draft number `need`, and used until `last`."""

    key: Hashable
    part: Part
    need: int
    last: int


def plan_loads(
    schedule: Schedule,
    regions: Mapping[Hashable, Region],
    areas: Mapping[Hashable, Region],
    fixed: Mapping[Hashable, int],
    compact: frozenset[int],
    arch: Architecture,
    goal: int,
) -> Prefetch:
    """Issue ticks for all loads, addresses for those buffers that have no place of their own in `fixed`, which has those of tensors
    and areas. In the stages in `compact` all stay in their areas.

    Several rules for choosing addresses are tried, unless there is much to load, and the replay's shortest run wins; one that is
    close to `goal` cycles, what no schedule can beat, ends the search.
    """
    pieces, durations = _in_order(schedule, regions), [_array_cycles(draft, arch) for draft in schedule.drafts]
    tried = []
    for patience in PATIENCE[: max(1, MOST_PIECES // max(1, len(pieces)))]:
        room = _Room(schedule, regions, areas, fixed, compact, patience, arch.sram_bytes)
        tried.append(_one_plan(schedule, pieces, room, _Replay(durations, arch)))
        if tried[-1].failed is None and tried[-1].cycles <= goal * GOOD_ENOUGH:
            break
    return min(tried, key=lambda plan: (plan.failed is not None, plan.cycles))


def _one_plan(schedule: Schedule, pieces: list[Piece], room: _Room, replay: _Replay) -> Prefetch:
    coming = deque(pieces)
    window: list[tuple[Piece, int]] = []  # with the tick from which its bytes are free
    issues: list[Issue] = []
    now = 0
    while coming or window:
        while coming and len(window) < WINDOW:
            piece = coming.popleft()
            free = room.free_from(piece, now)
            if free >= NEVER:
                return Prefetch(issues, room.addresses, replay.end(), room.regions[piece.key])
            window.append((piece, free))
        piece, free = window.pop(replay.choose(window))
        now = max(now, free)
        replay.load(piece, free)
        issues.append(Issue(now, piece.part.load(schedule.loaded[piece.key].source, piece.key)))
    kept = {key: room.home(loaded) for key, loaded in schedule.loaded.items() if loaded.area is not None}
    return Prefetch(issues, kept | room.addresses, replay.end(), None)


class _Room:
    """Finds addresses for buffers, in order of first use, and the tick from which a piece's bytes are free."""

    def __init__(
        self,
        schedule: Schedule,
        regions: Mapping[Hashable, Region],
        areas: Mapping[Hashable, Region],
        fixed: Mapping[Hashable, int],
        compact: frozenset[int],
        patience: float,
        capacity: int,
    ) -> None:
        self.patience = patience
        self.schedule = schedule
        self.regions = regions
        self.fixed = fixed
        self.compact = compact
        self.addresses: dict[Hashable, int] = {}
        roaming = {loaded.area for loaded in schedule.loaded.values() if loaded.roams}
        known = {**regions, **areas}
        places = [(base, known[key]) for key, base in fixed.items() if key not in roaming]
        places += [
            (self.home(loaded), _once_moved(regions[loaded.key]))
            for loaded in schedule.loaded.values()
            if not loaded.parts and loaded.area is not None and loaded.key in regions
        ]
        self.timeline = Timeline(places, capacity)
        self.stores = _stores(schedule)

    def free_from(self, piece: Piece, now: int) -> int:
        """NEVER where the bytes are not free when they are needed."""
        region, loaded = self.regions[piece.key], self.schedule.loaded[piece.key]
        self.timeline.advance(now, region.last)
        base = self._address(region, loaded, self.schedule.stages[piece.need] in self.compact)
        if base is None:
            return NEVER
        start, stop = base + piece.part.start, base + piece.part.stop
        area = None if loaded.roams else loaded.area
        free = self.timeline.free_from(start, stop, piece.need, piece.last, {piece.key, area})
        return max(free, self._stored(piece))

    def _stored(self, piece: Piece) -> int:
        """The tick behind the last store, before they are needed, of the bytes that are loaded."""
        stores = self.stores.get(piece.part.dram, ())
        if not stores:
            return 0
        (read,) = piece.part.load(0, piece.key).reads
        wanted = read.at(0)
        before = (tick for tick, touch in reversed(stores) if tick <= piece.need and touch.at(0).conflicts(wanted))
        return next(before, 0)

    def home(self, loaded: Loaded) -> int:
        """Where a buffer lies in its stage's area."""
        return self.fixed[loaded.area] + loaded.offset

    def _address(self, region: Region, loaded: Loaded, compact: bool) -> int | None:
        if loaded.area is None:
            return self.fixed[region.key]
        if region.key not in self.addresses:
            base = self.home(loaded)
            if loaded.roams and not compact:
                best = self.timeline.best_address(region.bytes, region.first, region.last, self.patience)
                base = base if best is None else best
            self.addresses[region.key] = base
            for segment in region.segments:
                self.timeline.add(base, segment, region.key)
        return self.addresses[region.key]


def _once_moved(region: Region) -> Region:
    """Of a buffer into which nothing is loaded, but all moves from one that may lie at the same place."""
    return replace(region, segments=tuple(replace(segment, first=segment.first + 1) for segment in region.segments))


class _Replay:
    """When the array has finished each draft, given the loads so far; stores and waiting for them are left out."""

    def __init__(self, durations: list[int], arch: Architecture) -> None:
        self.arch = arch
        self.transfers = Durations(arch)
        self.durations = durations
        self.finished = [0]  # [t]: when drafts 0 .. t - 1 are done, as far as it is known
        self.arrived: dict[int, int] = {}  # by draft: when the last piece it needs is there
        self.bus = 0

    def choose(self, window: list[tuple[Piece, int]]) -> int:
        """Of the pieces, in order of need, the first whose bytes are free when the bus is, or the one that is free first."""
        self._advance(min(piece.need for piece, _ in window))
        times = [self.finished[free] if free < len(self.finished) else NEVER for _, free in window]
        ready = (index for index, time in enumerate(times) if time <= self.bus)
        return next(ready, times.index(min(times)))

    def load(self, piece: Piece, free: int) -> None:
        start = max(self.bus, self.finished[free])
        size = piece.part.stop - piece.part.start
        self.bus = start + self.transfers.cycles("LOAD", bytes=size, rows=1, planes=1, coded=piece.part.coded)
        arrival = self.bus + self.arch.dram_latency
        self.arrived[piece.need] = max(self.arrived.get(piece.need, 0), arrival)

    def end(self) -> int:
        """When the last draft is done, if nothing more is loaded."""
        self._advance(len(self.durations))
        return self.finished[-1]

    def _advance(self, need: int) -> None:
        """All that draft `need` comes after has been loaded."""
        for tick in range(len(self.finished) - 1, need):
            start = max(self.finished[-1], self.arrived.get(tick, 0))
            self.finished.append(start + self.durations[tick])


def _array_cycles(draft: Draft, arch: Architecture) -> int:
    return 0 if draft.name in ("LOAD", "STORE") else duration_parts(arch, draft.name, draft.values)["cycles"]


def _in_order(schedule: Schedule, regions: Mapping[Hashable, Region]) -> list[Piece]:
    """All pieces of all loads by first use."""
    pieces = [
        piece
        for loaded in schedule.loaded.values()
        if loaded.key in regions
        for part in loaded.parts
        for piece in _pieces(part, regions[loaded.key])
    ]
    return sorted(pieces, key=lambda piece: piece.need)


def _pieces(part: Part, region: Region) -> Iterator[Piece]:
    """A part cut at the borders of the region's segments and at PIECE_BYTES; what is coded comes cut."""
    if part.coded:
        yield Piece(region.key, part, region.first, region.last)
        return
    size = PIECE_BYTES - PIECE_BYTES % part.grain if part.grain < PIECE_BYTES else part.grain
    for segment in region.segments:
        start, stop = max(part.start, segment.start), min(part.stop, segment.stop)
        while start < stop:
            end = stop if stop - start < 2 * size else start + size
            yield Piece(region.key, part.cut(start, end), segment.first, segment.last)
            start = end


def _stores(schedule: Schedule) -> dict[Hashable, list[tuple[int, Touch]]]:
    """What is stored to each piece of DRAM, with the tick behind each store."""
    found: dict[Hashable, list[tuple[int, Touch]]] = {}
    for tick, draft in enumerate(schedule.drafts):
        if draft.name == "STORE":
            for touch in draft.writes:
                found.setdefault(touch.key, []).append((tick + 1, touch))
    return found
