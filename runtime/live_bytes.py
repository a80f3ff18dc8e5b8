"""Which bytes of the SRAM hold something that is still needed, over the time of a run: how many, and whose.

Found from the instructions alone, so it holds for any program without hazards. A byte is live from the start of the instruction
that writes it until the last one that reads it has finished, at the latest until it is written again. (Until a transfer into it
has finished it is taken, too; a byte that nobody reads is live while it is written.) The compiler's `sram_peak_bytes` is the
highest address in use, which is never less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import Access, accesses
from tvm_re2na.runtime.instructions.machine import Ints
from tvm_re2na.runtime.result import Span, Timing

NEVER = -1  # no instruction has touched it yet


@dataclass(frozen=True)
class Lives:
    """Arrays of one length: bytes `start`..`stop` live from cycle `since` to cycle `until`, written by instruction `writer` (or
    read by it, where nobody has written them)."""

    start: Ints
    stop: Ints
    since: Ints
    until: Ints
    writer: Ints


def live_bytes(program: Program, timing: Timing) -> list[tuple[int, int]]:
    """(cycle, live bytes from then on) wherever the number changes; from cycle 0, and 0 after the last."""
    found = lives(program, timing)
    if not found.since.size:
        return [(0, 0)]
    sizes = found.stop - found.start
    return list(_steps(np.concatenate([found.since, found.until]), np.concatenate([sizes, -sizes])))


def lives(program: Program, timing: Timing) -> Lives:
    """What lay in the SRAM and when, in the order in which it ended."""
    touched = [_in_sram(at) for at in program.instructions]
    edges = [edge for each in touched for access in each for edge in access.runs]
    if not edges:
        return Lives(*(np.zeros(0, np.int64) for _ in range(5)))
    story = _Story(np.unique(np.concatenate(edges)))
    for index, (each, span) in enumerate(zip(touched, timing.instructions, strict=True)):
        for access in each:
            story.touch(access, span, index)
    return story.told()


def _in_sram(at: Instruction) -> list[Access]:
    """What it reads comes before what it writes."""
    return sorted((access for access in accesses(at) if access.memory == "SRAM"), key=lambda access: access.writes)


class _Story:
    """The SRAM in pieces, cut at every edge of an access: since when each is live, by whom, and until when it is known to be."""

    def __init__(self, borders: Ints) -> None:
        self._borders = borders
        self._since, self._until, self._writer = (np.full(borders.size - 1, NEVER, np.int64) for _ in range(3))
        self._ended: list[tuple[Ints, ...]] = []

    def touch(self, access: Access, span: Span, index: int) -> None:
        """In the order of the program."""
        starts, stops = (self._borders.searchsorted(edges) for edges in access.runs)
        counts = stops - starts
        pieces = np.repeat(starts - np.append(0, counts.cumsum()[:-1]), counts) + np.arange(counts.sum())
        if access.writes:
            self._end(pieces, span.start)
            self._begin(pieces, span, index)
        else:
            self._begin(pieces[self._since[pieces] == NEVER], span, index)
            self._until[pieces] = np.maximum(self._until[pieces], span.finish)

    def told(self) -> Lives:
        """Everything, once the program is over."""
        self._end(np.arange(self._since.size), int(self._until.max()))
        pieces, since, until, writer = map(np.concatenate, zip(*self._ended, strict=True))
        return Lives(self._borders[pieces], self._borders[pieces + 1], since, until, writer)

    def _begin(self, pieces: Ints, span: Span, index: int) -> None:
        self._since[pieces], self._until[pieces], self._writer[pieces] = span.start, span.finish, index

    def _end(self, pieces: Ints, latest: int) -> None:
        pieces = pieces[self._since[pieces] != NEVER]
        since = self._since[pieces]
        until = np.maximum(np.minimum(self._until[pieces], latest), since)
        self._ended.append((pieces, since, until, self._writer[pieces]))


def _steps(cycles: Ints, deltas: Ints) -> Iterator[tuple[int, int]]:
    moments, where = np.unique(cycles, return_inverse=True)
    changes = np.zeros(moments.size, np.int64)
    np.add.at(changes, where, deltas)
    if moments[0] > 0:
        yield 0, 0
    for cycle, change, live in zip(moments.tolist(), changes.tolist(), changes.cumsum().tolist(), strict=True):
        if change:
            yield cycle, live
