"""Who lies where in the SRAM, and how long: the lives of its bytes as rectangles of addresses and cycles, for a picture.

The bytes are taken together in lines, so many that a picture has no room for more. Of what an operator has in a line, the first
byte's life begins the rectangle and the last one's ends it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.isa import Engine
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions.machine import Ints
from tvm_re2na.runtime.live_bytes import Lives, lives
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.timeline import carries

KINDS = ("weights", "inputs", "results")
LINES = 384  # of the part of the SRAM that is in use
SHORTEST = 2000  # no picture shows less than such a part of the run


@dataclass(frozen=True)
class MapBlock:
    """Bytes `start`..`stop` that are needed from cycle `since` to cycle `until`, brought or computed for the source operator of
    index `source`. `kind`: weights, inputs or results."""

    source: int
    kind: str
    start: int
    stop: int
    since: int
    until: int


def sram_map(program: Program, timing: Timing) -> list[MapBlock]:
    """In the order of operators, kinds and addresses; two of them overlap where both have bytes in a line at the same time."""
    found = lives(program, timing)
    if not found.start.size:
        return []
    line = -(-int(found.stop.max()) // LINES)
    owners, first, last, since, until = _in_lines(found, _owners(program), line)
    owners, first, last, since, until = _side_by_side(owners, first, last, since, until, -(-timing.cycles // SHORTEST))
    rows = zip(*(column.tolist() for column in (owners, first, last, since, until)), strict=True)
    end = int(found.stop.max())
    return [
        MapBlock(owner // len(KINDS), KINDS[owner % len(KINDS)], low * line, min((high + 1) * line, end), start, finish)
        for owner, low, high, start, finish in rows
    ]


def _owners(program: Program) -> Ints:
    """Of each instruction: the operator that it works for and the kind of what it writes, as one number."""
    kinds = ["results" if at.engine is Engine.ARRAY else carries(program, at) for at in program.instructions]
    found = [at.source * len(KINDS) + KINDS.index(kind) for at, kind in zip(program.instructions, kinds, strict=True)]
    return np.array(found, np.int64)


def _in_lines(found: Lives, owners: Ints, line: int) -> tuple[Ints, ...]:
    """Owner, line (twice) and life of what each owner has in a line; lives that touch are one."""
    first, counts = found.start // line, (found.stop - 1) // line - found.start // line + 1
    each = np.repeat(np.arange(counts.size), counts)
    lines = first[each] + np.arange(each.size) - np.repeat(counts.cumsum() - counts, counts)
    owner, since, until = owners[found.writer][each], found.since[each], found.until[each]
    order = np.lexsort((since, lines, owner))
    owner, lines, since, until = owner[order], lines[order], since[order], until[order]
    group = np.concatenate([[0], ((owner[1:] != owner[:-1]) | (lines[1:] != lines[:-1])).cumsum()])
    lift = int(until.max()) + 1  # so that the running maximum starts anew in each group
    latest = np.maximum.accumulate(until + group * lift)
    new = np.flatnonzero(np.concatenate([[True], since[1:] + group[1:] * lift > latest[:-1]]))
    ends = np.maximum.reduceat(until, new)
    return owner[new], lines[new], lines[new], since[new], ends


def _side_by_side(owner: Ints, first: Ints, last: Ints, since: Ints, until: Ints, near: int) -> tuple[Ints, ...]:
    """Lines side by side whose lives begin and end alike, but for `near` cycles, are one rectangle."""
    order = np.lexsort((first, until // near, since // near, owner))
    owner, first, last, since, until = (column[order] for column in (owner, first, last, since, until))
    keys = np.stack([owner, since // near, until // near, first - np.arange(first.size)])
    new = np.flatnonzero(np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(0)]))
    joined = (np.maximum.reduceat(last, new), np.minimum.reduceat(since, new), np.maximum.reduceat(until, new))
    return owner[new], first[new], *joined
