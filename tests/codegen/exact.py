"""Exact answers by OR-tools on chains of 1 x 1 convolutions, whose channels and pixels are blocks: what is least needed across a
moment, and the fewest bytes that any order of the products moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from ortools.sat.python import cp_model

SUM_BYTES = 4
SECONDS = 60


@dataclass(frozen=True)
class Chain:
    """`channels`: blocks of the input's, then of each layer's results; `weights`: bytes of a block of each layer. A block of a
    tensor is a byte, of sums four."""

    channels: tuple[int, ...]
    pixels: int
    weights: tuple[int, ...]

    @property
    def products(self) -> list[tuple[int, int, int, int]]:
        """(layer, output, input, pixel) of each."""
        return [
            (layer, *places)
            for layer, (inputs, outputs) in enumerate(pairwise(self.channels))
            for places in product(range(outputs), range(inputs), range(self.pixels))
        ]

    @property
    def compulsory(self) -> int:
        """Weights and inputs once; results count nothing."""
        weights = sum(a * b * size for (a, b), size in zip(pairwise(self.channels), self.weights, strict=True))
        return weights + self.channels[0] * self.pixels


class _Model(cp_model.CpModel):
    """Booleans under `cost` are made false where nothing forces them."""

    def __init__(self) -> None:
        super().__init__()
        self.costs: list[cp_model.LinearExpr] = []

    def flag(self) -> cp_model.IntVar:
        return self.new_bool_var("")

    def cost(self, size: float, *unless: cp_model.LiteralT) -> cp_model.IntVar:
        """A flag of so many bytes, which is true unless one of these is."""
        flag = self.flag()
        self.add_bool_or([flag, *unless])
        self.costs.append(size * flag)
        return flag

    def all_of(self, flags: Sequence[cp_model.IntVar]) -> cp_model.IntVar:
        every = self.flag()
        for flag in flags:
            self.add_implication(every, flag)
        self.add_bool_or([*(flag.negated() for flag in flags), every])
        return every

    def any_of(self, flags: Sequence[cp_model.IntVar]) -> cp_model.IntVar:
        some = self.flag()
        for flag in flags:
            self.add_implication(flag, some)
        self.add_bool_or([*flags, some.negated()])
        return some

    def least(self) -> float:
        """Raises RuntimeError where the optimum is not proved in time."""
        self.minimize(sum(self.costs))
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds, solver.parameters.num_workers = SECONDS, 1
        status = solver.solve(self)
        if status != cp_model.OPTIMAL:
            raise RuntimeError(f"{solver.status_name(status)} after {SECONDS} s")
        return solver.objective_value


def least_crossing(chain: Chain, done: int, worth: int) -> float:
    """With so many products of the first layer done, the least needed before and after; tensors and sums at `worth` a byte."""
    model = _Model()
    at = {place: model.flag() for place in chain.products}
    model.add(sum(flag for place, flag in at.items() if place[0] == 0) == done)
    complete: dict[tuple[int, int], cp_model.IntVar] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(chain.channels)):
        before, complete = complete, {}
        for out, source in product(range(outputs), range(inputs)):
            _mixed(model, [at[layer, out, source, p] for p in range(chain.pixels)], chain.weights[layer])
        for p in range(chain.pixels):
            for out in range(outputs):
                sums = [at[layer, out, source, p] for source in range(inputs)]
                complete[out, p] = _mixed(model, sums, worth * SUM_BYTES)
            for source in range(inputs):
                uses = [at[layer, out, source, p] for out in range(outputs)]
                if layer == 0:
                    _mixed(model, uses, worth)
                    continue
                for use in uses:
                    model.add_implication(use, before[source, p])
                model.cost(worth, before[source, p].negated(), model.all_of(uses))
    return model.least()


def _mixed(model: _Model, flags: Sequence[cp_model.IntVar], size: int) -> cp_model.IntVar:
    """Costs `size` where some are true and some are not; returns whether all are."""
    every = model.all_of(flags)
    model.cost(size, model.any_of(flags).negated(), every)
    return every


def fewest_bytes(chain: Chain, sram: int) -> float:
    """That a schedule loads and stores, whatever the order of its products; results of the last layer leave for nothing."""
    return _Schedule(chain, sram).least()


class _Schedule(_Model):
    """One product in each step; what it needs is in the SRAM then."""

    def __init__(self, chain: Chain, sram: int) -> None:
        super().__init__()
        self.chain, self.places = chain, chain.products
        self.steps = range(len(self.places))
        self.at = {(place, step): self.flag() for place in self.places for step in self.steps}
        self.done = {(place, step): self.flag() for place in self.places for step in range(len(self.places) + 1)}
        self.room: list[list[cp_model.LinearExpr]] = [[] for _ in self.steps]
        self._one_after_the_other()
        for layer, (inputs, outputs) in enumerate(pairwise(chain.channels)):
            pixels = range(chain.pixels)
            for out, source in product(range(outputs), range(inputs)):
                self._loaded(chain.weights[layer], [(layer, out, source, p) for p in pixels])
            for source, p in product(range(inputs), pixels):
                uses = [(layer, out, source, p) for out in range(outputs)]
                makers = (
                    [(layer - 1, source, before, p) for before in range(chain.channels[layer - 1])] if layer else []
                )
                self._loaded(1, uses, makers)
            for out, p in product(range(outputs), pixels):
                self._summed([(layer, out, source, p) for source in range(inputs)])
        for room in self.room:
            self.add(sum(room) <= sram)

    def _one_after_the_other(self) -> None:
        for place in self.places:
            self.add_exactly_one(self.at[place, step] for step in self.steps)
            self.add(self.done[place, 0] == 0)
            for step in self.steps:
                self.add(self.done[place, step + 1] == self.done[place, step] + self.at[place, step])
        for step in self.steps:
            self.add_exactly_one(self.at[place, step] for place in self.places)
        for p in range(self.chain.pixels - 1):  # pixels are alike
            for step in self.steps:
                self.add_implication(self.done[(0, 0, 0, p + 1), step], self.done[(0, 0, 0, p), step])

    def _loaded(self, size: int, uses: Iterable[tuple[int, ...]], makers: Sequence[tuple[int, ...]] = ()) -> None:
        """Weights, inputs, or what `makers` compute, which is stored before it is loaded."""
        before, stored, loads = None, self.cost(size, self.flag()) if makers else None, []
        made = [self.all_of([self.done[maker, step] for maker in makers]) for step in self.steps] if makers else []
        for step in self.steps:
            there = self.flag()
            self.room[step].append(size * there)
            kept = [] if before is None else [before]
            if makers:
                self.add_implication(there, made[step])
                kept += [made[step - 1].negated()] if step else []
            load = self.cost(size, there.negated(), *kept)
            if stored is not None:
                self.add_implication(load, stored)
            loads.append(load)
            for use in uses:
                self.add_implication(self.at[use, step], there)
            before = there
        if not makers:
            self.add_bool_or(loads)

    def _summed(self, parts: Sequence[tuple[int, ...]]) -> None:
        """A sum that waits between its parts, in the SRAM or in DRAM."""
        if len(parts) == 1:
            return
        stored, before, adding = self.flag(), None, None
        self.costs.append(SUM_BYTES * stored)
        for step in self.steps:
            there, now = self.flag(), self.flag()
            self.add(sum(self.at[part, step] for part in parts) == now)
            self.room[step].append(SUM_BYTES * there)
            if before is None or adding is None:
                self.add(there == 0)
            else:
                self.add_bool_or([there.negated(), before, adding])
                begun = self.any_of([self.done[part, step] for part in parts])
                load = self.cost(SUM_BYTES, now.negated(), begun.negated(), there)
                self.add_implication(load, stored)
            before, adding = there, now


@dataclass(frozen=True)
class Column:
    """Layers on a column of pixels, of 1 or 3 taps with padding; `channels` of the input, then of each layer's results. `residual`:
    of four layers, what the first makes is added to what the third makes."""

    channels: tuple[int, ...]
    taps: tuple[int, ...]
    pixels: int
    weights: tuple[int, ...]
    residual: bool = False


Flags = dict[tuple[int, int], cp_model.IntVar]


def least_crossing_column(column: Column, seen: range, done: int) -> float:
    """`least_crossing` with so many products of the first layer done at the pixels `seen`."""
    model = _ColumnModel(column)
    model.add(sum(model.first[p] for p in seen) == done)
    return model.least()


class _ColumnModel(_Model):
    def __init__(self, column: Column) -> None:
        super().__init__()
        self.column = column
        self.first: list[cp_model.LinearExprT] = [
            0
        ] * column.pixels  # products of the first layer that are done, for each pixel
        made: list[Flags] = []
        added: Flags = {}
        for layer in range(len(column.taps)):
            there = added if column.residual and layer == 3 else made[-1] if layer else {}
            complete, used = self._layer(layer, there)
            made.append(complete)
            if column.residual and layer == 2:
                added = {place: self.all_of([self.flag(), made[0][place], flag]) for place, flag in complete.items()}
                self._crosses(complete, added)
            if column.residual and layer == 1:
                first, uses = there, used
            elif layer:
                self._crosses(there, used)
        if column.residual:  # both read what the first layer makes
            self._crosses(first, {place: self.all_of([flag, added[place]]) for place, flag in uses.items()})

    def _crosses(self, there: Flags, used: Flags) -> None:
        for place, flag in there.items():
            self.cost(1, flag.negated(), used[place])

    def _layer(self, layer: int, there: Flags) -> tuple[Flags, Flags]:
        """Which of its results are complete, and which of its inputs used up."""
        column, pixels, taps = self.column, range(self.column.pixels), self.column.taps[layer]
        sources, outputs = (range(count) for count in column.channels[layer : layer + 2])
        uses: dict[tuple[int, int], list[cp_model.IntVar]] = {place: [] for place in product(sources, pixels)}
        sums: dict[tuple[int, int], list[cp_model.IntVar]] = {place: [] for place in product(outputs, pixels)}
        for out, source, tap in product(outputs, sources, range(taps)):
            line = []
            for p in pixels:
                place = p + tap - taps // 2
                if place not in pixels:
                    continue
                flag = self.flag()
                if layer:
                    self.add_implication(flag, there[source, place])
                else:
                    self.first[p] += flag
                uses[source, place].append(flag)
                sums[out, p].append(flag)
                line.append(flag)
            _mixed(self, line, column.weights[layer])
        complete = {place: _mixed(self, parts, SUM_BYTES) for place, parts in sums.items()}
        used = {place: self.all_of(flags) if layer else _mixed(self, flags, 1) for place, flags in uses.items()}
        return complete, used
