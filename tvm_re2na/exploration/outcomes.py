"""What becomes of every machine of a grid: compiled for, once for all that run the same programs; left out; or lost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.exploration.pareto import pareto_front
from tvm_re2na.exploration.point import compile_points, without_prices
from tvm_re2na.exploration.pruning import Candidate, Costs, Known, Pruner
from tvm_re2na.parallel.journal import Journal
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.parallel.shards import Job, Lost, Results, run_shards
from tvm_re2na.parallel.worker_pool import WorkerPool
from tvm_re2na.progress import Progress

FEW = 64  # points under way where some may yet turn out to be needless


@dataclass(frozen=True)
class Pruned:
    """In place of figures: the bound by which another machine beats this one."""

    bound: Costs


UNSEEN = Pruned((0, 0, 0.0))  # while the front is not known yet, nor which bound it beats
Outcome: TypeAlias = dict[str, Any] | Lost | Pruned  # the first of compile_points


def same_programs(machines: Sequence[Architecture]) -> list[list[int]]:
    """The machines by what they run: they differ in prices alone."""
    groups: dict[Architecture, list[int]] = {}
    for index, arch in enumerate(machines):
        groups.setdefault(without_prices(arch), []).append(index)
    return list(groups.values())


def each(result: Any, members: Sequence[int]) -> Sequence[Outcome]:
    """A shard's result as one for each of its machines: Lost and Pruned are all of them."""
    found: Sequence[Outcome] = result if isinstance(result, list) else [result] * len(members)
    return found


class Exploring:
    """Shards are groups of machines that run the same programs; `names` of machines are for messages."""

    def __init__(self, machines: Sequence[Candidate], names: Callable[[int], str], prune: bool) -> None:
        self.machines, self.names = machines, names
        self.groups = same_programs([machine.arch for machine in machines])
        self.pruner = Pruner(machines) if prune else None
        self._rivals: list[Known] = []
        self._seen: set[int] = set()

    def run(self, pool: WorkerPool, journal: Journal | None, progress: Progress) -> list[Outcome]:
        """One for each machine."""
        found = run_shards(pool, self._job(pool), functools.partial(progress, "compile"), journal)
        outcomes: list[Outcome] = [UNSEEN] * len(self.machines)
        for members, result in zip(self.groups, found, strict=True):
            for index, outcome in zip(members, each(result, members), strict=True):
                outcomes[index] = outcome
        return self._without_beaten(outcomes) if self.pruner is not None else outcomes

    def _job(self, pool: WorkerPool) -> Job:
        """Graphs that machines share are sent once, where the pool can."""
        handles: dict[int, Handle] = {}

        def arguments(number: int) -> tuple[Any, ...]:
            members = [self.machines[index] for index in self.groups[number]]
            graphs = members[0].graphs
            if id(graphs) not in handles:
                handles[id(graphs)] = pool.ship(graphs)
            return handles[id(graphs)], [machine.arch for machine in members]

        def name(number: int) -> str:
            return self.names(self.groups[number][0])

        sizes = [len(members) for members in self.groups]
        if self.pruner is None:
            return Job(compile_points, arguments, sizes, name)
        return Job(compile_points, arguments, sizes, name, FEW, self._order(self.pruner), self._known)

    def _order(self, pruner: Pruner) -> list[int]:
        place = {index: number for number, members in enumerate(self.groups) for index in members}
        return list(dict.fromkeys(place[index] for index in pruner.order()))

    def _known(self, number: int, results: Results) -> Pruned | None:
        """Pruned where each machine of the group is beaten by what is done."""
        assert self.pruner is not None
        for done in results.keys() - self._seen:
            self._seen.add(done)
            costs = map(self._costs, self.groups[done], each(results[done], self.groups[done]))
            self._rivals += [known for known in costs if known is not None]
        bounds = [self.pruner.beaten(index, self._rivals) for index in self.groups[number]]
        return None if None in bounds else UNSEEN

    def _costs(self, index: int, outcome: Outcome) -> Known | None:
        if not isinstance(outcome, dict) or outcome["error"] is not None:
            return None
        machine, figures = self.machines[index], outcome["figures"]
        return Known(machine.share, (figures["cycles"], figures["dram_bytes"], machine.arch.area_mm2))

    def _without_beaten(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Whatever was compiled in time to be of use, the front is the same: who is beaten by it is left out."""
        assert self.pruner is not None
        done = [known for index, outcome in enumerate(outcomes) if (known := self._costs(index, outcome))]
        most = max((known.share for known in done), default=0.0)
        best = [known for known in done if known.share == most]
        front = [known for known, kept in zip(best, pareto_front([known.costs for known in best]), strict=True) if kept]
        bounds = [self.pruner.beaten(index, front) for index in range(len(outcomes))]
        return [outcome if bound is None else Pruned(bound) for outcome, bound in zip(outcomes, bounds, strict=True)]
