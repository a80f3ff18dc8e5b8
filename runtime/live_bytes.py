"""How many bytes of the SRAM hold something that is still needed, over the time of a run.

Found from the instructions alone, so it holds for any program without hazards. A byte is live from the start of the instruction
that writes it until the last one that reads it has finished, at the latest until it is written again. (Until a transfer into it
has finished it is taken, too; a byte that nobody reads is live while it is written.) The compiler's `sram_peak_bytes` is the
highest address in use, which is never less.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import Access, accesses
from tvm_re2na.runtime.instructions.machine import Ints
from tvm_re2na.runtime.result import Span, Timing

NEVER = -1  # no instruction has touched it yet


def live_bytes(program: Program, timing: Timing) -> list[tuple[int, int]]:
    """(cycle, live bytes from then on) wherever the number changes; from cycle 0, and 0 after the last."""
    touched = [_in_sram(at) for at in program.instructions]
    edges = [edge for each in touched for access in each for edge in access.runs]
    if not edges:
        return [(0, 0)]
    lives = _Lives(np.unique(np.concatenate(edges)))
    for each, span in zip(touched, timing.instructions, strict=True):
        for access in each:
            lives.touch(access, span)
    return list(_steps(*lives.changes()))


def _in_sram(at: Instruction) -> list[Access]:
    """What it reads comes before what it writes."""
    return sorted((access for access in accesses(at) if access.memory == "SRAM"), key=lambda access: access.writes)


class _Lives:
    """The SRAM in pieces, cut at every edge of an access: since when each is live, and until when it is known to be."""

    def __init__(self, borders: Ints) -> None:
        self._borders, self._sizes = borders, np.diff(borders)
        self._since = np.full(self._sizes.size, NEVER, np.int64)
        self._until = np.full(self._sizes.size, NEVER, np.int64)
        self._cycles: list[Ints] = []
        self._deltas: list[Ints] = []

    def touch(self, access: Access, span: Span) -> None:
        """In the order of the program."""
        starts, stops = (self._borders.searchsorted(edges) for edges in access.runs)
        counts = stops - starts
        pieces = np.repeat(starts - np.append(0, counts.cumsum()[:-1]), counts) + np.arange(counts.sum())
        if access.writes:
            self._end(pieces, span.start)
            self._since[pieces] = span.start
            self._until[pieces] = span.finish
        else:
            self._since[pieces] = np.where(self._since[pieces] == NEVER, span.start, self._since[pieces])
            self._until[pieces] = np.maximum(self._until[pieces], span.finish)

    def changes(self) -> tuple[Ints, Ints]:
        """Cycles, and by how many bytes more or fewer are live from each on."""
        self._end(np.arange(self._sizes.size), int(self._until.max()))
        return np.concatenate(self._cycles), np.concatenate(self._deltas)

    def _end(self, pieces: Ints, latest: int) -> None:
        pieces = pieces[self._since[pieces] != NEVER]
        since, sizes = self._since[pieces], self._sizes[pieces]
        until = np.maximum(np.minimum(self._until[pieces], latest), since)
        self._cycles += [since, until]
        self._deltas += [sizes, -sizes]


def _steps(cycles: Ints, deltas: Ints) -> Iterator[tuple[int, int]]:
    moments, where = np.unique(cycles, return_inverse=True)
    changes = np.zeros(moments.size, np.int64)
    np.add.at(changes, where, deltas)
    if moments[0] > 0:
        yield 0, 0
    for cycle, change, live in zip(moments.tolist(), changes.tolist(), changes.cumsum().tolist(), strict=True):
        if change:
            yield cycle, live
