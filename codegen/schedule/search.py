"""Pass `stages`: dynamic programming over the units finds the cheapest sequence of stages that fits the SRAM.

Between two units some of the tensors that will still be read lie in SRAM, the others in DRAM: a state. A stage leads from one
state to another. It finds its inputs in SRAM, fetches them as a whole, or streams them; its output stays or goes to DRAM; and what
it does not touch may be dropped before it begins. The cheapest way to each state is kept. A unit that fits as a whole, beside all
that lives, is neither cut into strips, unless something streams in from DRAM meanwhile, nor part of a cascade, unless that makes
room for loads where tensors leave little, or the network's input comes meanwhile.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.schedule.candidates import Candidates
from tvm_re2na.codegen.schedule.clock import Buffers, Clock, Phase
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.outlook import Outlook
from tvm_re2na.codegen.schedule.price import Price
from tvm_re2na.codegen.schedule.residency import Placed, Tensors
from tvm_re2na.codegen.schedule.stage import Sides, Stage
from tvm_re2na.codegen.schedule.strips import cut_strips

MOST_UNITS = 8  # of a cascade: its weights have to be in SRAM at once
MOST_HEIGHTS = 8  # of strips, the tallest that fit, that are compared by their work on the array
MOST_PARTS = 1  # sizes of a dense layer's parts that fit, the largest first
FEW_STRIPS, MOST_TOGETHER = (2, 4, 8), 3  # strips and units of cascades of units that fit one by one
MOST_DROPPED = 4  # tensors that are looked at together, whether to drop them
# parts of the free bytes tried when fragmentation gets in the way
SHRINK = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1)
# parts of all bytes, for stages that share a place; and for any where those do not help
SHARED_SHRINK = (1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


class Holding(NamedTuple):
    """Tensors in SRAM between two units, and those of them that lie in DRAM as well."""

    here: frozenset[str]
    copied: frozenset[str]


class _Key(NamedTuple):
    """Of the ways to a place between two units, one is kept for each of these."""

    state: Holding
    setting: Setting | None


@dataclass(frozen=True)
class _Prefix:
    """The cheapest stages up to some unit: when they are done, the last one, and what was before it."""

    time: tuple[int, int]
    clock: Clock
    placed: Placed | None
    before: _Key | None


@dataclass(frozen=True)
class _Move:
    """A stage with all that lies in SRAM meanwhile. `stores`: bytes of what is dropped and not in DRAM yet."""

    placed: Placed
    state: Holding  # behind it
    living_bytes: int
    stores: int


class Search:
    """Finds the stages; `shrink` limits units to a part of the free bytes."""

    def __init__(self, tensors: Tensors, cost: CostModel, arch: Architecture) -> None:
        self.tensors = tensors
        self.units = tensors.graph.units
        self.arch = arch
        self.cost = cost
        self.price = Price(tensors, cost, arch)
        self.candidates = Candidates(tensors, cost, arch)
        self.outlook = Outlook(tensors, cost, arch)
        self.shrink = [0] * len(self.units)
        self._options: dict[Hashable, list[Stage]] = {}
        self._chosen: dict[Hashable, list[Stage]] = {}
        self._roomy_units: dict[tuple[int, int], bool] = {}
        self._prices: dict[Stage, Stage] = {}
        self._known: dict[Stage, tuple[list[Phase], int]] = {}

    def run(self) -> list[Placed] | int:
        """The cheapest stages, or the first unit that none gets beyond."""
        count = len(self.units)
        nothing = Holding(frozenset(), frozenset())
        best: list[dict[_Key, _Prefix]] = [
            {_Key(nothing, None): _Prefix((0, 0), Clock(), None, None)},
            *({} for _ in range(count)),
        ]
        reached = 0
        for first in range(count):
            if best[first]:
                reached = first
            by_state: dict[Holding, list[_Key]] = {}
            for key in best[first]:
                by_state.setdefault(key.state, []).append(key)
            for state, keys in by_state.items():
                for move in self._moves(state, first):
                    for key in keys:
                        self._extend(best, key, move)
        if not best[count]:
            return reached
        placed: list[Placed] = []
        step = min(best[count].values(), key=lambda step: step.time)
        self.cycles = step.clock.end
        while step.placed is not None and step.before is not None:
            placed.append(step.placed)
            step = best[step.placed.stage.first][step.before]
        return placed[::-1]

    def _extend(self, best: list[dict[_Key, _Prefix]], key: _Key, move: _Move) -> None:
        """The stage behind the cheapest stages before it."""
        stage = move.placed.stage
        before = best[stage.first][key]
        behind = _Key(move.state, key.setting if stage.ends is None else stage.ends)
        clock = self._clock(before.clock, key.setting, move)
        time = self._time(clock, move)
        known = best[stage.last + 1].get(behind)
        if known is None or time < known.time:
            best[stage.last + 1][behind] = _Prefix(time, clock, move.placed, key)

    def _clock(self, clock: Clock, setting: Setting | None, move: _Move) -> Clock:
        """Behind one more stage. What the stage and the tensors leave of the SRAM is what loads may run ahead by."""
        stage = move.placed.stage
        ahead = self.cost.transfer_cycles(max(0, self.arch.sram_bytes - move.living_bytes - stage.bytes))
        switch = self.cost.switch_cycles(setting, stage.begins)
        phases, exposed = self._phases(stage)
        loads = stage.row_turns if stage.streamed else stage.weight_turns
        buffers = Buffers(loads, 0 if stage.output in stage.sides.resident else stage.row_turns)
        exposed += self.cost.transfer_cycles(move.stores)
        return clock.after(phases, switch, ahead, self.arch.dram_latency, exposed, buffers)

    def _time(self, clock: Clock, move: _Move) -> tuple[int, int]:
        """What counts behind a stage: when the program can end at best, and when the array is free. Stores may go on, but not when
        nothing follows."""
        behind = move.placed.stage.last + 1
        if behind == len(self.units):
            return clock.end, clock.array
        return clock.at_best(*self.outlook.to_come[behind]), clock.array

    def alone(self, index: int) -> Stage | None:
        """The cheapest way in which the unit works with every tensor in DRAM, if there is one."""
        stages = self._stages(index, index, Sides(frozenset()), 0)
        return min(stages, key=lambda stage: stage.cost, default=None)

    def smallest(self, index: int) -> int:
        """Bytes that the unit needs at least."""
        sides = Sides(frozenset())
        stages = self.candidates.whole(sides, index)
        for height in self.candidates.heights(index, index):
            ways = self.candidates.ways(sides, index, index, height)
            stages += filter(None, (self.candidates.in_strips(sides, index, index, height, way) for way in ways))
        return min(stage.bytes for stage in stages)

    # -- from one state to another

    def _moves(self, state: Holding, first: int) -> list[_Move]:
        """All stages that begin with a unit. Where none fits with its inputs in SRAM, they go to DRAM and are streamed."""
        moves = list(self._next(state, first))
        if not moves:
            names = sorted(name for name in self.units[first].inputs if self.tensors.finished.get(name, -1) < first)
            for dropped in _subsets(name for name in dict.fromkeys(names) if name in state.here):
                behind = Holding(state.here - dropped, state.copied - dropped)
                stores = self._stored_bytes(dropped - state.copied)
                moves += [replace(move, stores=move.stores + stores) for move in self._next(behind, first) if dropped]
        return moves

    def _next(self, state: Holding, first: int) -> Iterator[_Move]:
        tight, large = not self.roomy(first), self.outlook.is_large(first)
        for last in range(first, min(first + MOST_UNITS, len(self.units))):
            if last > first:
                if not self.units[last].joins_cascades:
                    return
                tight, large = tight or not self.roomy(last), large or self.outlook.is_large(last)
                # the first units may work together while the input comes
                joins = tight or first == 0 or (large and last - first < MOST_TOGETHER)
                if not joins or not self.tensors.is_cascade(first, last):
                    continue
            yield from self._with_sides(state, first, last, tight)

    def roomy(self, index: int) -> bool:
        """Whether a unit fits as a whole beside everything that lives."""
        key = (index, self.shrink[index])
        if key not in self._roomy_units:
            self._roomy_units[key] = self._fits_whole(index)
        return self._roomy_units[key]

    def _fits_whole(self, index: int) -> bool:
        lives = self.tensors.lives
        living = frozenset(name for name, (born, dies) in lives.items() if born <= index <= dies)
        touched = frozenset((*self.units[index].inputs, self.units[index].output))
        size = self._bytes(living, index, index, touched)
        stages = self._fitting(self._whole(index, Sides(touched)), size, self.shrink[index])
        return bool(stages) and stages[0].overlap

    def _with_sides(self, state: Holding, first: int, last: int, tight: bool) -> Iterator[_Move]:
        units = self.units[first : last + 1]
        output = units[-1].output
        inner = {unit.output for unit in units[:-1]} - {output}
        inputs = frozenset(name for unit in units for name in unit.inputs) - inner
        others = state.here - inputs - {output}
        droppable = sorted(name for name in others if self.tensors.finished.get(name, -1) < first)
        for fetched in _subsets(self._fetchable(inputs - state.here, first)):
            for stays in self._ways_out(output, state, first, tight):
                resident = (inputs & state.here) | fetched | (frozenset({output}) if stays else frozenset())
                sides = Sides(resident, fetched)
                for dropped in _subsets(droppable if tight else ()):
                    living = (state.here - dropped) | resident
                    size = self._bytes(living, first, last, resident)
                    stages = self._stages(first, last, sides, size)
                    for stage in stages:
                        yield self._move(stage, state, living, size, dropped)
                    if stages and not dropped and stages[0].overlap and len(stages[0].strips) == 1:
                        break

    def _fetchable(self, inputs: Iterable[str], first: int) -> list[str]:
        """Not what is still being made."""
        return sorted(name for name in inputs if self.tensors.finished.get(name, -1) < first)

    def _ways_out(self, output: str, state: Holding, first: int, tight: bool) -> tuple[bool, ...]:
        """Whether the output stays in SRAM; where a part of it is already, the rest goes as well."""
        if self.tensors.lives[output][0] < first:
            return (output in state.here,)
        return (True, False) if tight or output in self.tensors.bundled else (True,)

    def _move(self, stage: Stage, state: Holding, living: frozenset[str], size: int, dropped: frozenset[str]) -> _Move:
        lives = self.tensors.lives
        here = frozenset(name for name in living if lives[name][1] > stage.last)
        copied = (state.copied | stage.sides.fetched | (self.tensors.border & {stage.output})) & here
        return _Move(Placed(stage, living), Holding(here, copied), size, self._stored_bytes(dropped - state.copied))

    def _stored_bytes(self, names: Iterable[str]) -> int:
        return sum(self.tensors.graph.stored[name].bytes for name in names)

    def _bytes(self, living: frozenset[str], first: int, last: int, resident: frozenset[str]) -> int:
        """Of tensors that exist as a whole at some of these units; of two in one place, one."""
        replaced = first == last and self.tensors.replaced(first, resident)
        return sum(self.tensors.size(name) for name in living if name != replaced)

    # -- the stages of some units

    def _stages(self, first: int, last: int, sides: Sides, living: int) -> list[Stage]:
        """Of those that fit the cheapest for each setting of the array that they begin and end with, and for each size of a dense
        layer's parts; the cheapest first."""
        level = max(self.shrink[first : last + 1])
        key = (first, last, sides, living, level)
        if key not in self._chosen:
            self._chosen[key] = self._best_stages(first, last, sides, living, level)
        return self._chosen[key]

    def _best_stages(self, first: int, last: int, sides: Sides, living: int, level: int) -> list[Stage]:
        whole = self._fitting(self._whole(first, sides), living, level) if first == last else []
        streams = bool(sides.fetched) or not {*self.units[first].inputs, self.units[last].output} <= sides.resident
        if whole and not streams:
            return whole
        found: dict[Hashable, Stage] = {}
        for stage in sorted(whole + self._tallest(first, last, sides, living, level), key=self._order):
            found.setdefault((_distinct(stage), len(stage.strips) if first < last else 0), stage)
        return list(found.values())

    def _fitting(self, stages: Iterable[Stage], living: int, level: int) -> list[Stage]:
        """The first of each kind that fits."""
        found: dict[Hashable, Stage] = {}
        for stage in stages:
            if _distinct(stage) not in found and self._fits(stage, living, level):
                found[_distinct(stage)] = stage
        return list(found.values())

    def _whole(self, index: int, sides: Sides) -> list[Stage]:
        """The cheapest first."""
        key = (index, sides)
        if key not in self._options:
            fitting = (stage for stage in self.candidates.whole(sides, index) if stage.bytes <= self.arch.sram_bytes)
            self._options[key] = sorted(map(self._price, fitting), key=self._order)
        return self._options[key]

    def _tallest(self, first: int, last: int, sides: Sides, living: int, level: int) -> list[Stage]:
        """In each of the ways in which the units can work, that of the tallest strips that fit."""
        if self.units[first].part_steps(self.arch):
            parts = self._fitting(map(self._price, self.candidates.in_smaller_parts(sides, first)), living, level)
            return parts[:MOST_PARTS]
        heights = self.candidates.heights(first, last)
        if not heights:
            return []
        if first < last and all(map(self.roomy, range(first, last + 1))):
            return self._in_few_strips(first, last, sides, living, level)
        found = []
        for way in self.candidates.ways(sides, first, last, heights[-1]):
            place = self._first_that_fits(sides, first, last, way, living, level)
            stop = len(heights) if self._at_an_end(first, last) else place + MOST_HEIGHTS
            stages = (self.candidates.in_strips(sides, first, last, height, way) for height in heights[place:stop])
            found += [self._price(stage) for stage in self._worth_a_price([stage for stage in stages if stage])]
        return found

    def _in_few_strips(self, first: int, last: int, sides: Sides, living: int, level: int) -> list[Stage]:
        """Units that fit one by one, together."""
        found = []
        for height in self.candidates.heights(first, last):
            if len(cut_strips(self.units[last].out_shape, height)) in FEW_STRIPS:
                ways = self.candidates.ways(sides, first, last, height)
                stages = (self.candidates.in_strips(sides, first, last, height, way) for way in ways)
                found += [self._price(stage) for stage in stages if stage and self._fits(stage, living, level)]
        return found

    def _worth_a_price(self, stages: list[Stage]) -> list[Stage]:
        """Of stages alike but for the height of their strips, the tallest first: that, and one that fills the array better."""
        if not stages or self._at_an_end(stages[0].first, stages[0].last):
            return stages
        return list(dict.fromkeys((stages[0], min(stages, key=self.price.compute))))

    def _at_an_end(self, first: int, last: int) -> bool:
        """Of the program, where nothing hides the first load and the last store: short strips may be the better ones."""
        return first == 0 or last == len(self.units) - 1

    def _first_that_fits(self, sides: Sides, first: int, last: int, way: Hashable, living: int, level: int) -> int:
        """Index of the tallest strips in this way that fit; behind the last if none do."""
        heights = self.candidates.heights(first, last)

        def fits(height: int) -> bool:
            stage = self.candidates.in_strips(sides, first, last, height, way)
            return stage is not None and self._fits(stage, living, level)

        return bisect.bisect_left(heights, True, key=fits)

    def _price(self, stage: Stage) -> Stage:
        if stage not in self._prices:
            self._prices[stage] = self.price.priced(stage)
        return self._prices[stage]

    def _fits(self, stage: Stage, living: int, level: int) -> bool:
        size = self.arch.sram_bytes
        if stage.shared or level >= len(SHRINK):
            return living + stage.bytes <= size * SHARED_SHRINK[min(level, len(SHARED_SHRINK) - 1)]
        return living <= size and stage.bytes <= (size - living) * SHRINK[level]

    def _order(self, stage: Stage) -> tuple[int, int, bool, int]:
        return self._at_border(stage), stage.compute, stage.weight_turns + stage.row_turns < 4, stage.bytes

    def _at_border(self, stage: Stage) -> int:
        """Cost; of what begins or ends the program, by its phases, because nothing hides its first load or its last store."""
        if not self._at_an_end(stage.first, stage.last):
            return stage.cost
        loads = sum(phase.load for phase in self._phases(stage)[0])
        start = Clock(loads + self.arch.dram_latency if stage.first else 0)
        nothing = Holding(frozenset(), frozenset())
        return self._clock(start, stage.begins, _Move(Placed(stage, frozenset()), nothing, 0, 0)).end - start.array

    def _phases(self, stage: Stage) -> tuple[list[Phase], int]:
        """Its phases, and what they leave out."""
        if stage not in self._known:
            self._known[stage] = self.price.phases(stage), self.price.exposed(stage)
        return self._known[stage]


def _distinct(stage: Stage) -> Hashable:
    """Of stages that differ in this each may be the best one."""
    return stage.begins, stage.ends, stage.chunk if stage.begins else 0


def _subsets(names: Iterable[str]) -> Iterator[frozenset[str]]:
    """All sets of some names, small ones first; of many names those of at most one."""
    names = list(names)
    for count in range(len(names) + 1 if len(names) <= MOST_DROPPED else 2):
        yield from map(frozenset, itertools.combinations(names, count))
