"""Live ranges: what every buffer occupies of the SRAM, and when, read off the drafts that touch it.

Time is counted in ticks: the index of a draft. A piece of a buffer lives from the first draft that touches it to the last.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from tvm_re2na.codegen.emit.draft import Loaded, Schedule
from tvm_re2na.codegen.memory.placement import Region, Segment

MOST_SEGMENTS = 64  # of one region; beyond it, neighbours are merged


def live_regions(schedule: Schedule) -> dict[Hashable, Region]:
    """One region for each buffer of SRAM, in the order of first use."""
    touches: dict[Hashable, list[Segment]] = {}
    for tick, draft in enumerate(schedule.drafts):
        for touch in draft.touches:
            if touch.memory == "sram":
                start, stop = touch.span
                touches.setdefault(touch.key, []).append(Segment(start, stop, tick, tick))
    return {key: _region(key, segments, schedule) for key, segments in touches.items()}


def area_regions(schedule: Schedule) -> dict[Hashable, Region]:
    """One region for each area, which its stage has from its first draft to its last."""
    ticks: dict[int, tuple[int, int]] = {}
    for tick, stage in enumerate(schedule.stages):
        ticks[stage] = (ticks.get(stage, (tick, tick))[0], tick)
    return {
        key: Region(key, (Segment(0, area.size, *ticks[area.stage]),))
        for key, area in schedule.areas.items()
        if area.size
    }


def _region(key: Hashable, touched: list[Segment], schedule: Schedule) -> Region:
    loaded = schedule.loaded.get(key)
    if loaded is not None and loaded.area is not None:
        return Region(key, tuple(_halves(touched, loaded)))
    return Region(key, tuple(_merged(_pieces(touched))))


def _halves(touched: list[Segment], loaded: Loaded) -> Iterator[Segment]:
    """What is loaded lives from its first use on, which comes after the moment at which other rows move to their place before it;
    all of it until the last use."""
    last, middle = max(segment.last for segment in touched), min((part.start for part in loaded.parts), default=0)
    for start, stop in ((0, middle), (middle, loaded.size)):
        first = min(
            (segment.first for segment in touched if segment.start < stop and segment.stop > start), default=last
        )
        if start < stop:
            yield Segment(start, stop, first, last)


def _pieces(touched: list[Segment]) -> list[Segment]:
    """Cut at every border; each piece lives from its first touch to its last."""
    whole = {(segment.start, segment.stop) for segment in touched}
    if len(whole) == 1:
        return [Segment(touched[0].start, touched[0].stop, touched[0].first, touched[-1].last)]
    borders = sorted({edge for pair in whole for edge in pair})
    position = {edge: index for index, edge in enumerate(borders)}
    first, last = [-1] * len(borders), [-1] * len(borders)
    for segment in touched:
        for index in range(position[segment.start], position[segment.stop]):
            first[index] = segment.first if first[index] < 0 else first[index]
            last[index] = segment.last
    return [
        Segment(borders[index], borders[index + 1], first[index], last[index])
        for index in range(len(borders) - 1)
        if first[index] >= 0
    ]


def _merged(pieces: list[Segment]) -> list[Segment]:
    """Neighbours that live alike become one; so do others where there are too many."""
    merged: list[Segment] = []
    for piece in pieces:
        before = merged[-1] if merged else None
        if before and before.stop == piece.start and (before.first, before.last) == (piece.first, piece.last):
            merged[-1] = Segment(before.start, piece.stop, piece.first, piece.last)
        else:
            merged.append(piece)
    size = -(-len(merged) // MOST_SEGMENTS)
    return [_hull(merged[start : start + size]) for start in range(0, len(merged), size)]


def _hull(pieces: list[Segment]) -> Segment:
    return Segment(
        pieces[0].start,
        pieces[-1].stop,
        min(piece.first for piece in pieces),
        max(piece.last for piece in pieces),
    )
