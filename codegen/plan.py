"""Pass `plan`: stages are chosen, become drafts, and every buffer gets an address and every load its moment.

Tensors, inner buffers and pinned weights are placed first, by their live ranges; what streams through fits itself into what is left
(`codegen/memory/prefetch.py`). Where fragmentation leaves no room, the stage in the way first gives up its early loads, then a
part of its bytes, then a tensor moves to DRAM; so that whatever fits at all is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Schedule
from tvm_re2na.codegen.errors import UnitTooLarge
from tvm_re2na.codegen.memory.live_ranges import live_regions
from tvm_re2na.codegen.memory.placement import Group, Region, Segment, distance, live_bytes, place
from tvm_re2na.codegen.memory.prefetch import plan_loads
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.drafts import emit
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.search import SHRINK, Search
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.units import UnitGraph
from tvm_re2na.codegen.schedule.weights import UnitWeights

MOST_TRIALS = 8  # of moving a tensor to DRAM because it might be cheaper


@dataclass(frozen=True)
class Plan:
    """`drafts` in program order, loads included; `addresses` of all buffers; `sram_bound`: what no placement can do without; `cost`
    in cycles, as the search counts them."""

    graph: UnitGraph
    arch: Architecture
    weights: UnitWeights
    tensors: Tensors
    stages: tuple[Stage, ...]
    drafts: tuple[Draft, ...]
    addresses: dict[Hashable, int]
    regions: dict[Hashable, Region]
    sram_peak: int
    sram_bound: int
    cost: int

    def __str__(self) -> str:
        lines = [f"sram peak {self.sram_peak}, bound {self.sram_bound}"]
        lines.append(f"in dram {', '.join(sorted(self.tensors.spilled)) or '-'}")
        lines += [f"{index} {stage}" for index, stage in enumerate(self.stages)]
        for key, region in self.regions.items():
            name = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
            lines.append(
                f"    {name}: {region.bytes} bytes at {self.addresses[key]}, ticks {region.first}..{region.last}"
            )
        return "\n".join(lines) + "\n"


def make_plan(graph: UnitGraph, arch: Architecture, names: Callable[[Unit], str], goal: int = 0) -> Plan:
    """Raises UnitTooLarge for a unit whose smallest way of working does not fit even with every tensor in DRAM.

    `goal`: cycles that no schedule can beat; the search for a better one ends near them.
    """
    return _Planner(graph, arch, names, goal).run()


class _Planner:
    def __init__(self, graph: UnitGraph, arch: Architecture, names: Callable[[Unit], str], goal: int) -> None:
        self.graph = graph
        self.arch = arch
        self.names = names
        self.goal = goal
        self.weights = UnitWeights(graph.units, arch)
        self.search = Search(graph, CostModel(graph.units, self.weights, arch), arch)
        self.hasty: set[int] = set(range(len(graph.units)))  # units whose pinned weights are placed as if loaded early
        self.compact: set[int] = set()  # units that fetch nothing early

    def run(self) -> Plan:
        spilled = self._too_large()
        while True:
            spilled, stages = self._choose(spilled)
            tensors = Tensors(self.graph, spilled)
            schedule = emit(stages, tensors, self.weights, self.arch)
            done = self._placed(schedule, stages, tensors)
            if isinstance(done, Plan):
                return done
            spilled = self._give_way(done, tensors)

    def _placed(self, schedule: Schedule, stages: list[Stage], tensors: Tensors) -> Plan | list[Stage]:
        """The finished plan, or the stages in whose way fragmentation is even if they load nothing early."""
        regions = live_regions(schedule)
        while True:
            done = self._place(schedule, regions, stages, tensors)
            if isinstance(done, Plan):
                return done
            failed = [stages[index] for index in sorted({schedule.stages[region.first] for region in done})]
            units = {unit for stage in failed for unit in range(stage.first, stage.last + 1)}
            if units & self.hasty:
                self.hasty -= units
            elif units - self.compact:
                self.compact |= units
            else:
                return failed

    # -- which tensors move to DRAM

    def _too_large(self) -> frozenset[str]:
        """Network inputs that would take most of the SRAM; other large tensors may yet vanish in a cascade."""
        half = self.arch.sram_bytes // 2
        return frozenset(name for _, _, name in self.graph.inputs if self.graph.stored[name].bytes > half)

    def _choose(self, spilled: frozenset[str]) -> tuple[frozenset[str], list[Stage]]:
        """Stages that fit; more tensors in DRAM where nothing else does, or where that is cheaper."""
        while True:
            stages = self.search.run(Tensors(self.graph, spilled))
            if isinstance(stages, list):
                return self._improved(spilled, stages)
            spilled = self._evict(spilled, stages)

    def _evict(self, spilled: frozenset[str], index: int) -> frozenset[str]:
        tensors = Tensors(self.graph, spilled)
        unit = self.graph.units[index]
        living = tensors.living(index, index) | {name for name in (*unit.inputs, unit.output) if tensors.resident(name)}
        if not living:
            required = self.search.smallest(tensors, index)
            raise UnitTooLarge(index, self.names(unit), required, self.arch.sram_bytes)
        for unit_index in range(len(self.graph.units)):
            self.search.shrink[unit_index] = 0
        return min((spilled | {name} for name in sorted(living)), key=self._prospect)

    def _prospect(self, spilled: frozenset[str]) -> tuple[int, int, int]:
        """How good it is to have these tensors in DRAM: whether there are stages, at what cost, or how far they get."""
        tensors = Tensors(self.graph, spilled)
        stages = self.search.run(tensors)
        moved = sum(self.graph.stored[name].bytes for name in spilled)
        if isinstance(stages, list):
            return 0, self.search.total(stages, tensors), -moved
        return 1, -stages, -moved

    def _improved(self, spilled: frozenset[str], stages: list[Stage]) -> tuple[frozenset[str], list[Stage]]:
        """Try each tensor of a stage that streams its weights more than once."""
        total = self.search.total(stages, Tensors(self.graph, spilled))
        costly = [stage for stage in stages if stage.strips_outer and not stage.pinned and len(stage.strips) > 1]
        names = dict.fromkeys(
            name for stage in costly for unit in stage.cascade.units for name in (unit.output, *unit.inputs)
        )
        for name in [name for name in names if name not in spilled][:MOST_TRIALS]:
            tensors = Tensors(self.graph, spilled | {name})
            trial = self.search.run(tensors)
            if isinstance(trial, list) and (cycles := self.search.total(trial, tensors)) < total:
                spilled, stages, total = tensors.spilled, trial, cycles
        return spilled, stages

    def _give_way(self, stages: list[Stage], tensors: Tensors) -> frozenset[str]:
        """A part of the bytes, then a tensor in SRAM, after a buffer of these stages found no room."""
        units = [unit for stage in stages for unit in range(stage.first, stage.last + 1)]
        level = max(self.search.shrink[unit] for unit in units) + 1
        if level == len(SHRINK):
            return self._evict(tensors.spilled, stages[0].first)
        for unit in units:
            self.search.shrink[unit] = level
        return tensors.spilled

    # -- where buffers lie

    def _place(
        self, schedule: Schedule, regions: dict[Hashable, Region], stages: list[Stage], tensors: Tensors
    ) -> Plan | tuple[Region, ...]:
        """The finished plan, or the buffers that found no room."""
        fixed = [
            self._early(region, schedule, stages)
            for key, region in regions.items()
            if key not in schedule.loaded or schedule.loaded[key].fixed
        ]
        placement = place(_groups(fixed, stages, tensors), self.arch.sram_bytes)
        if placement.failed:
            return tuple(regions[region.key] for region in placement.failed)
        compact = frozenset(index for index, stage in enumerate(stages) if stage.first in self.compact)
        prefetch = plan_loads(schedule, regions, placement.addresses, compact, self.arch, self.goal)
        if prefetch.failed is not None:
            return (prefetch.failed,)
        addresses = placement.addresses | prefetch.addresses
        drafts = list(schedule.drafts)
        for issue in reversed(prefetch.issues):
            drafts.insert(issue.tick, issue.draft)
        peak = max((addresses[key] + region.bytes for key, region in regions.items()), default=0)
        bound = int(live_bytes(regions.values(), len(schedule.drafts)).max(initial=0))
        cost = self.search.total(stages, tensors)
        done = tuple(stages), tuple(drafts), addresses, regions, peak, bound, cost
        return Plan(self.graph, self.arch, self.weights, tensors, *done)

    def _early(self, region: Region, schedule: Schedule, stages: list[Stage]) -> Region:
        """Pinned weights keep their place free for the stage before, and pieces of an input for the piece before."""
        if region.key not in schedule.loaded:
            return region
        stage = schedule.stages[region.first]
        if stages[stage].first not in self.hasty:
            return region
        if len(region.segments) == 1:
            start = schedule.stages.index(max(stage - 1, 0))
            return replace(region, segments=(replace(region.segments[0], first=min(start, region.first)),))
        segments = [region.segments[0]]
        for before, segment in zip(region.segments, region.segments[1:], strict=False):
            segments.append(replace(segment, first=min(before.first, segment.first)))
        return replace(region, segments=tuple(segments))


def _groups(regions: list[Region], stages: list[Stage], tensors: Tensors) -> list[Group]:
    """Each region alone, but an output that may move into the place of its stage's input goes with it."""
    by_key = {region.key: region for region in regions}
    joined: dict[Hashable, list[tuple[Region, int]]] = {region.key: [(region, 0)] for region in regions}
    homes = tensors.homes(stages)
    for stage in stages:
        pair = [("tensor", homes[name]) for name in (stage.cascade.units[0].inputs[0], stage.output)]
        if stage.strips_outer and pair[0] != pair[1] and all(key in by_key for key in pair):
            _join(joined, by_key[pair[0]], by_key[pair[1]])
    groups = []
    for members in {id(members): members for members in joined.values()}.values():
        lowest = min(offset for _, offset in members)
        groups.append(Group(tuple((region, offset - lowest) for region, offset in members)))
    return groups


def _join(joined: dict[Hashable, list[tuple[Region, int]]], source: Region, output: Region) -> None:
    """Put `output` as far below `source` as it must be, if that is less than beside it, and nothing else is in the way."""
    gap = distance(output, source)
    if gap >= output.bytes or len(joined[output.key]) > 1:
        return
    members = joined[source.key]
    offset = next(offset for region, offset in members if region is source) - gap
    if all(_apart(region, place, output, offset) for region, place in members):
        members.append((output, offset))
        joined[output.key] = members


def _apart(first: Region, first_offset: int, second: Region, second_offset: int) -> bool:
    """Whether two regions at these offsets never meet."""
    return not any(_meet(a, first_offset, b, second_offset) for a in first.segments for b in second.segments)


def _meet(a: Segment, a_offset: int, b: Segment, b_offset: int) -> bool:
    in_time = a.first <= b.last and b.first <= a.last
    return in_time and a_offset + a.start < b_offset + b.stop and b_offset + b.start < a_offset + a.stop
