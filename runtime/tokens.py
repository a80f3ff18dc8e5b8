"""Who gives and who takes each token. The k-th that an engine gives another is the k-th that the other takes from it."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_re2na.codegen.isa import ENGINES, Instruction


def givers(instructions: Sequence[Instruction]) -> list[list[int]]:
    """For each instruction of a valid program the indices of those whose tokens it takes, in the order of their engines."""
    found: list[list[int]] = [[] for _ in instructions]
    for giver in ENGINES:
        for taker in ENGINES:
            given = [i for i, at in enumerate(instructions) if at.engine is giver and at.signal >> taker & 1]
            taken = [i for i, at in enumerate(instructions) if at.engine is taker and at.wait >> giver & 1]
            for source, target in zip(given, taken, strict=True):
                found[target].append(source)
    return found
