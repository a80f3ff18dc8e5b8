"""Pass `plan`: stages are chosen, become drafts, and every buffer gets an address and every load its moment.

Tensors and inner buffers are placed by their live ranges, from below; from above an area for each buffer that a stage loads or
stores. Weights lie elsewhere where they can be loaded earlier (`codegen/memory/prefetch.py`). Where fragmentation leaves no
room, the stage in the way first gives up its early loads, then a part of its bytes, until the search finds another plan; so
that whatever fits at all is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Schedule
from tvm_re2na.codegen.errors import UnitTooLarge
from tvm_re2na.codegen.memory.live_ranges import area_regions, live_regions
from tvm_re2na.codegen.memory.placement import (
    Group,
    Placement,
    Region,
    Rule,
    Segment,
    distance,
    largest_first,
    latest_first,
    live_bytes,
    place,
)
from tvm_re2na.codegen.memory.prefetch import GOOD_ENOUGH, Prefetch, plan_loads
from tvm_re2na.codegen.schedule.columns import TooLarge, cut_columns, least_bytes
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.drafts import emit
from tvm_re2na.codegen.schedule.residency import Placed, Residence, Tensors
from tvm_re2na.codegen.schedule.search import SHARED_SHRINK, Search
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.units import UnitGraph
from tvm_re2na.codegen.schedule.weights import UnitWeights


@dataclass(frozen=True)
class Plan:
    """`drafts` in program order, loads included; `addresses` of all buffers; `sram_bound`: what no placement can do without; `cost`
    in cycles, as the search counts them."""

    graph: UnitGraph
    arch: Architecture
    weights: UnitWeights
    residence: Residence
    drafts: tuple[Draft, ...]
    addresses: dict[Hashable, int]
    regions: dict[Hashable, Region]
    sram_peak: int
    sram_bound: int
    cost: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(placed.stage for placed in self.residence.plan)

    def __str__(self) -> str:
        lines = [f"sram peak {self.sram_peak}, bound {self.sram_bound}"]
        lines.append(f"in dram {', '.join(sorted(self.residence.stored - self.residence.tensors.border)) or '-'}")
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
        self.arch = arch
        self.names = names
        self.goal = goal
        self._look_at(graph, UnitWeights(graph.units, arch))
        try:
            cut = cut_columns(self.search, self.weights, arch)
        except TooLarge as error:
            raise self._too_large(error.unit, error.required) from error
        if cut is not graph:
            self._look_at(cut, self.weights.of(cut.units))
        self.compact: set[int] = set()  # units that fetch nothing early

    def _look_at(self, graph: UnitGraph, weights: UnitWeights) -> None:
        self.graph = graph
        self.weights = weights
        self.tensors = Tensors(graph)
        self.search = Search(self.tensors, CostModel(graph.units, weights, self.arch), self.arch)

    def run(self) -> Plan:
        while True:
            residence = Residence(self.tensors, self._choose())
            schedule = emit(residence, self.weights, self.arch)
            done = self._placed(schedule, residence)
            if isinstance(done, Plan):
                return done
            self._give_way(done)

    def _placed(self, schedule: Schedule, residence: Residence) -> Plan | list[Stage]:
        """The finished plan, or the stages in whose way fragmentation is even if they load nothing early."""
        regions = live_regions(schedule)
        while True:
            done = self._place(schedule, regions, residence)
            if isinstance(done, Plan):
                return done
            stages = sorted({schedule.stages[region.first] for region in done})
            failed = [residence.plan[index].stage for index in stages]
            units = {unit for stage in failed for unit in range(stage.first, stage.last + 1)}
            if units - self.compact:
                self.compact |= units
            else:
                return failed

    def _choose(self) -> list[Placed]:
        """Stages that fit."""
        found = self.search.run()
        if isinstance(found, list):
            return found
        raise self._too_large(self.graph.units[found])

    def _give_way(self, stages: list[Stage]) -> None:
        """A part of the bytes, after a buffer of these stages found no room."""
        units = [unit for stage in stages for unit in range(stage.first, stage.last + 1)]
        level = max(self.search.shrink[unit] for unit in units) + 1
        if level == len(SHARED_SHRINK):
            raise self._too_large(self.graph.units[stages[0].first])
        for unit in units:
            self.search.shrink[unit] = level

    def _too_large(self, unit: Unit, required: int | None = None) -> UnitTooLarge:
        least = required or least_bytes(unit, self.graph, self.arch)
        return UnitTooLarge(unit.source, self.names(unit), least, self.arch.sram_bytes)

    # -- where buffers lie

    def _place(
        self, schedule: Schedule, regions: dict[Hashable, Region], residence: Residence
    ) -> Plan | tuple[Region, ...]:
        """The finished plan, or the buffers that found no room."""
        stages = [placed.stage for placed in residence.plan]
        areas = area_regions(schedule)
        fixed = [
            region for key, region in regions.items() if key not in schedule.loaded or schedule.loaded[key].area is None
        ]
        groups = [*_groups(fixed, residence), *map(_above, areas.values())]
        compact = frozenset(index for index, stage in enumerate(stages) if stage.first in self.compact)
        tried: list[tuple[Prefetch, Placement]] = []
        failed: tuple[Region, ...] = ()
        for rule in (largest_first, latest_first):
            placement = _packed(groups, len(schedule.drafts), self.arch, rule)
            if placement.failed:
                failed = failed or placement.failed
                continue
            prefetch = plan_loads(schedule, regions, areas, placement.addresses, compact, self.arch, self.goal)
            if prefetch.failed is not None:
                failed = failed or (prefetch.failed,)
                continue
            tried.append((prefetch, placement))
            if prefetch.cycles <= self.goal * GOOD_ENOUGH:
                break
        if not tried:
            return failed
        return self._finished(schedule, regions, residence, *min(tried, key=lambda pair: pair[0].cycles))

    def _finished(
        self,
        schedule: Schedule,
        regions: dict[Hashable, Region],
        residence: Residence,
        prefetch: Prefetch,
        placement: Placement,
    ) -> Plan:
        addresses = placement.addresses | prefetch.addresses
        drafts = list(schedule.drafts)
        for issue in reversed(prefetch.issues):
            drafts.insert(issue.tick, issue.draft)
        peak = max((addresses[key] + region.bytes for key, region in regions.items()), default=0)
        bound = int(live_bytes(regions.values(), len(schedule.drafts)).max(initial=0))
        done = tuple(drafts), addresses, regions, peak, bound, self.search.cycles
        return Plan(self.graph, self.arch, self.weights, residence, *done)


def _packed(groups: list[Group], ticks: int, arch: Architecture, rule: Rule) -> Placement:
    """In little of the SRAM, if that is easy."""
    bound = int(live_bytes([region for group in groups for region, _ in group.members], ticks).max(initial=0))
    for room in (2 * bound, 4 * bound):
        if room < arch.sram_bytes:
            placement = place(groups, room, 1, rule)
            if not placement.failed:
                return placement
    placement = place(groups, arch.sram_bytes, rule=rule)
    if not placement.failed:
        return placement
    below = place([replace(group, from_above=False) for group in groups], arch.sram_bytes, rule=rule)
    return placement if below.failed else below


def _above(region: Region) -> Group:
    return Group(((region, 0),), from_above=True)


def _groups(regions: list[Region], residence: Residence) -> list[Group]:
    """Each region alone, but an output that may move into the place of its stage's input goes with it."""
    by_key = {region.key: region for region in regions}
    joined: dict[Hashable, list[tuple[Region, int]]] = {region.key: [(region, 0)] for region in regions}
    for placed, keys in zip(residence.plan, residence.keys, strict=True):
        stage = placed.stage
        pair = [keys.get(name) for name in (stage.cascade.units[0].inputs[0], stage.output)]
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
