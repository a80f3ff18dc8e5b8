"""Which parts of a network run on Re²Na: as few as its operators allow, and none that moves more than it computes.

TVM merges operators that are neighbours. Here parts that do not depend on each other become one, and small parts between operators
on the CPU are given back to it. Either way the bits are the same.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.constraint import Rejection
from tvm_re2na.codegen.offload.explanation import moves_only, small
from tvm_re2na.codegen.offload.operator import LINEAR, Operator
from tvm_re2na.frontends.common.found import Operators, Rejections
from tvm_re2na.frontends.interface import Module

VARIABLE = "RE2NA_OFFLOAD"
WORTHWHILE, ALL = "worthwhile", "all"


class OffloadError(Re2naError, ValueError):
    """RE2NA_OFFLOAD says nothing that is known."""


@dataclass(frozen=True)
class OffloadedRegion:
    """The names of its operators, and the bytes of its inputs and outputs for one run."""

    operators: tuple[str, ...]
    crossing_bytes: int


def offload() -> str:
    """What the user wants on Re²Na, `WORTHWHILE` or `ALL`. Raises OffloadError."""
    wanted = os.environ.get(VARIABLE) or WORTHWHILE
    if wanted not in (WORTHWHILE, ALL):
        raise OffloadError(f"{VARIABLE} = '{wanted}': expected {WORTHWHILE} or {ALL}")
    return wanted


def settle(
    operators: Operators, rejections: Rejections, cut: Callable[[Rejections], tuple[Module, Sequence[OffloadedRegion]]]
) -> tuple[Module, Rejections]:
    """A module that is cut until every region is worth it, and what stays on the CPU; `cut` leaves there what is rejected."""
    while True:
        mod, regions = cut(rejections)
        back = _given_back(regions, operators)
        if not back:
            return mod, rejections
        rejections = {**rejections, **back}


def _given_back(regions: Sequence[OffloadedRegion], operators: Operators) -> dict[str, Rejection]:
    """The operators of regions that only move data, and of several regions, of those that compute less than they move."""
    judged = offload() == WORTHWHILE and len(regions) > 1  # asked first: a wrong RE2NA_OFFLOAD is always told
    back: dict[str, Rejection] = {}
    for region in regions:
        parts = {name: operators[name] for name in region.operators}
        if not rules.worthwhile({op.kind for op in parts.values()}):
            back |= {name: moves_only(op.kind) for name, op in parts.items()}
        elif judged and rules.enough_work(computed := sum(map(work, parts.values())), region.crossing_bytes):
            back |= dict.fromkeys(parts, small(computed, region.crossing_bytes))
    return back


def work(op: Operator) -> int:
    """Multiplications, comparisons or additions of a run; none of what only moves data."""
    if not rules.worthwhile({op.kind}):
        return 0
    each, apart = 1, 1
    if op.kind in LINEAR and op.weight is not None:
        each = math.prod(op.weight.shape[1:])
    elif op.window is not None:
        each = math.prod(op.window.kernel)
    if op.kind == "conv2d_transpose" and op.window is not None:
        apart = math.prod(op.window.stride)  # of so many results each input and weight meet in one
    return math.prod(op.output.sizes) * each // apart


def independent(reads: Mapping[str, Set[str]]) -> list[list[str]]:
    """Regions that can become one, together, in the order given; `reads`: all regions that a region's inputs are made of, however
    far back. None of a group reads what another of it makes, nor does a group read another that reads it."""
    groups: list[list[str]] = []
    for region in reads:
        for group in groups:
            joined = [*group, region]
            if not _above(joined, groups, reads) & set(joined):
                group.append(region)
                break
        else:
            groups.append([region])
    return groups


def _above(regions: Collection[str], groups: Sequence[Sequence[str]], reads: Mapping[str, Set[str]]) -> set[str]:
    """What has to be done before these: what they read, and what is done together with that."""
    together = {name: group for group in groups for name in group}
    seen: set[str] = set()
    waiting = {name for region in regions for name in reads[region]}
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting |= set(together.get(name, ())) | reads[name]
    return seen
