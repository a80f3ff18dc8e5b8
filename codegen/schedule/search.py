"""Pass `stages`: dynamic programming over the units finds the cheapest sequence of stages that fits the SRAM.

Every tensor is first assumed to stay in SRAM from its producer to its last consumer; where nothing fits, the one whose absence
helps most moves to DRAM, and so does one whose absence makes the total cheaper (`codegen/plan.py`). A unit that fits as a whole
is not cut into strips, unless something streams in from DRAM meanwhile; a cascade is tried only where some of its units do not
fit alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.writer import Setting
from tvm_re2na.codegen.schedule.candidates import Candidates
from tvm_re2na.codegen.schedule.clock import Buffers, Clock, Phase
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.price import Price
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.stage import Stage
from tvm_re2na.codegen.schedule.units import UnitGraph

MOST_UNITS = 8  # of a cascade: its weights have to be in SRAM at once
# parts of the free bytes tried when fragmentation gets in the way
SHRINK = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1)
SCARCE = 32  # part of the time to fill memory that its use counts
SHARED_SHRINK = (1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8)  # parts of all bytes, for stages that share a place


@dataclass(frozen=True)
class _Prefix:
    """The cheapest stages up to some unit: when they are done, the last one, and the array's setting before it."""

    time: int
    clock: Clock
    stage: Stage | None
    before: Setting | None


class Search:
    """Finds the stages for given tensors in SRAM; `shrink` limits units to a part of the free bytes."""

    def __init__(self, graph: UnitGraph, cost: CostModel, arch: Architecture) -> None:
        self.graph = graph
        self.arch = arch
        self.cost = cost
        self.price = Price(cost, arch)
        self.candidates = Candidates(cost, self.price, arch)
        self.shrink = [0] * len(graph.units)
        self._options: dict[tuple[str, int, int, frozenset[str]], list[Stage]] = {}
        self._known: dict[Stage, tuple[list[Phase], int]] = {}

    def run(self, tensors: Tensors) -> list[Stage] | int:
        """The cheapest stages, or the first unit that none gets beyond."""
        count = len(self.graph.units)
        best: list[dict[Setting | None, _Prefix]] = [
            {None: _Prefix(0, Clock(), None, None)},
            *({} for _ in range(count)),
        ]
        reached = 0
        for first in range(count):
            if best[first]:
                reached = first
                for stage in self._stages_from(tensors, first):
                    self._extend(best, stage, tensors)
        if not best[count]:
            return reached
        stages: list[Stage] = []
        step = min(best[count].values(), key=lambda step: step.clock.end)
        while step.stage is not None:
            stages.append(step.stage)
            step = best[step.stage.first][step.before]
        return stages[::-1]

    def _extend(self, best: list[dict[Setting | None, _Prefix]], stage: Stage, tensors: Tensors) -> None:
        """The stage behind the cheapest stages before it, for each setting in which they may leave the array."""
        behind = best[stage.last + 1]
        for setting, step in best[stage.first].items():
            ends = setting if stage.ends is None else stage.ends
            clock = self._clock(step.clock, setting, stage, tensors)
            time = self._time(clock, stage, tensors)
            if ends not in behind or time < behind[ends].time:
                behind[ends] = _Prefix(time, clock, stage, setting)

    def _clock(self, clock: Clock, setting: Setting | None, stage: Stage, tensors: Tensors) -> Clock:
        """Behind one more stage. What the stage and the tensors leave of the SRAM is what loads may run ahead by."""
        free = self.arch.sram_bytes - tensors.living_bytes(stage.first, stage.last) - stage.bytes
        ahead = self.cost.transfer_cycles(max(0, free))
        switch = self.cost.switch_cycles(setting, stage.begins)
        phases, exposed = self._phases(stage, tensors)
        turns = 2 if stage.overlap else 1
        buffers = Buffers(turns, 0 if tensors.resident(stage.output) else turns)
        return clock.after(phases, switch, ahead, self.arch.dram_latency, exposed, buffers)

    def _time(self, clock: Clock, stage: Stage, tensors: Tensors) -> int:
        """What counts behind a stage: stores may go on, but not when nothing follows. Where memory is scarce, what a stage holds
        until its end keeps the next loads waiting: it counts a part of the time that it takes to fill."""
        if stage.last == len(self.graph.units) - 1:
            return clock.end
        if tensors.living_bytes(stage.first, stage.last) + stage.bytes < self.arch.sram_bytes // 2:
            return clock.array
        return clock.array + self.cost.transfer_cycles(max(0, stage.bytes)) // SCARCE

    def total(self, stages: list[Stage], tensors: Tensors) -> int:
        """Cycles of stages in a row."""
        clock, setting = Clock(), None
        for stage in stages:
            clock = self._clock(clock, setting, stage, tensors)
            setting = setting if stage.ends is None else stage.ends
        return clock.end

    def smallest(self, tensors: Tensors, index: int) -> int:
        """Bytes that the unit needs at least, beside the tensors that live on."""
        return min(
            stage.bytes for kind in ("whole", "coarse", "fine") for stage in self._list(kind, tensors, index, index)
        )

    def _stages_from(self, tensors: Tensors, first: int) -> Iterator[Stage]:
        single = self._single(tensors, first)
        yield from single
        tight = not single or len(single[0].strips) > 1 or not single[0].overlap
        for last in range(first + 1, min(first + MOST_UNITS, len(self.graph.units))):
            if not self.graph.units[last].joins_cascades:
                return
            tight = tight or not self._fits_whole(tensors, last)
            if tight and tensors.is_cascade(first, last):
                yield from self._cheapest(tensors, first, last, ("cascade", "fine cascade"))

    def _single(self, tensors: Tensors, index: int) -> list[Stage]:
        """The cheapest first."""
        unit = self.graph.units[index]
        names = (*unit.inputs, unit.output)
        if any(name in tensors.inputs or not tensors.resident(name) for name in names):
            whole = self._cheapest(tensors, index, index, ("whole",))
            cut = self._cheapest(tensors, index, index, ("coarse", "fine"))
            return sorted(whole + cut, key=lambda stage: stage.cost)
        return self._cheapest(tensors, index, index, ("whole", "coarse", "fine"))

    def _fits_whole(self, tensors: Tensors, index: int) -> bool:
        stages = self._cheapest(tensors, index, index, ("whole",))
        return bool(stages) and stages[0].overlap

    def _cheapest(self, tensors: Tensors, first: int, last: int, kinds: tuple[str, ...]) -> list[Stage]:
        """Of the first kind that has any that fits: the cheapest for each setting of the array that they begin and end with, and
        for each size of a dense layer's parts."""
        living = tensors.living_bytes(first, last)
        level = max(self.shrink[first : last + 1])
        for kind in kinds:
            options = self._list(kind, tensors, first, last)
            found: dict[Hashable, Stage] = {}
            for stage in options:
                key = (stage.begins, stage.ends, stage.chunk if stage.begins else 0)
                if key not in found and self._fits(stage, living, level):
                    found[key] = stage
            if found:
                return list(found.values())
        return []

    def _fits(self, stage: Stage, living: int, level: int) -> bool:
        if stage.shared:
            return living + stage.bytes <= self.arch.sram_bytes * SHARED_SHRINK[level]
        return stage.bytes <= max(0, self.arch.sram_bytes - living) * SHRINK[level]

    def _list(self, kind: str, tensors: Tensors, first: int, last: int) -> list[Stage]:
        """All stages of a kind, cheapest first; they depend on which of the units' own tensors are in DRAM."""
        touched = {name for unit in self.graph.units[first : last + 1] for name in (*unit.inputs, unit.output)}
        key = (kind, first, last, tensors.spilled & touched)
        if key not in self._options:
            stages = {
                "whole": lambda: self.candidates.whole(tensors, first),
                "coarse": lambda: self.candidates.strips(tensors, first, False),
                "fine": lambda: self.candidates.strips(tensors, first, True),
                "cascade": lambda: self.candidates.cascades(tensors, first, last, False),
                "fine cascade": lambda: self.candidates.cascades(tensors, first, last, True),
            }[kind]()
            self._options[key] = sorted(
                stages,
                key=lambda stage: (self._at_border(stage, tensors), stage.compute, not stage.overlap, stage.bytes),
            )
        return self._options[key]

    def _at_border(self, stage: Stage, tensors: Tensors) -> int:
        """Cost; of what begins or ends the program, by its phases, because nothing hides its first load or its last store."""
        if stage.first and stage.last < len(self.graph.units) - 1:
            return stage.cost
        loads = sum(phase.load for phase in self._phases(stage, tensors)[0])
        start = Clock(loads + self.arch.dram_latency if stage.first else 0)
        return self._clock(start, stage.begins, stage, tensors).end - start.array

    def _phases(self, stage: Stage, tensors: Tensors) -> tuple[list[Phase], int]:
        """Its phases, and what they leave out."""
        if stage not in self._known:
            self._known[stage] = self.price.phases(tensors, stage), self.price.exposed(tensors, stage)
        return self._known[stage]
