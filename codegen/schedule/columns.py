"""Units cut along their columns: side by side, each makes some columns of what one unit made, with the same weights.

A strip has whole rows. Where these are too long for the SRAM, or so long that few of them are there at once and most of what
windows see is loaded with strip after strip, the unit becomes several that read and write parts of the same stored tensors. What
two of them see is loaded twice. To every later pass they are units as any other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.schedule.cost import CostModel
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.search import Search
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.codegen.schedule.units import UnitGraph
from tvm_re2na.codegen.schedule.weights import UnitWeights

WORTH = 0.8  # of the cost of a unit that fits: what its parts may cost at most
MORE_PARTS = 0.95  # of the cost with fewer parts: what more of them may cost at most


class TooLarge(Exception):
    """Of a unit not even a part of the fewest columns fits in less than so many bytes."""

    def __init__(self, unit: Unit, required: int) -> None:
        super().__init__(unit, required)
        self.unit = unit
        self.required = required


class _Trial(NamedTuple):
    """The unit at a place of the graph, cut into parts of at most `width` columns; `part` is one of the largest of them."""

    place: int
    width: int
    part: Unit


def cut_columns(search: Search, weights: UnitWeights, arch: Architecture) -> UnitGraph:
    """The graph of the search, with units cut that do not fit otherwise, or whose parts would be cheaper if each were alone.

    Raises TooLarge for the unit that needs the most, if parts of some unit do not fit.
    """
    graph = search.tensors.graph
    alike: dict[Hashable, int] = {}
    first = {
        index: alike.setdefault(_likeness(search, index), index)
        for index in range(len(graph.units))
        if not search.roomy(index)
    }
    costs = dict(_costs(search, alike.values()))
    trials = [trial for index in costs for trial in _trials(index, graph.units[index])]
    alone = _search([trial.part for trial in trials], graph, weights, arch)
    chosen: dict[int, int] = {}
    for number, trial in enumerate(trials):
        stage = alone.alone(number)
        count = -(-graph.units[trial.place].out_shape[3] // trial.width)
        if stage is not None and stage.cost * count < MORE_PARTS * costs[trial.place]:
            costs[trial.place], chosen[trial.place] = stage.cost * count, trial.width
    narrowest = {index: graph.units[index] for index in costs} | {trial.place: trial.part for trial in trials}
    lost = [part for index, part in narrowest.items() if costs[index] == math.inf]
    if lost:
        required, unit = max(((least_bytes(part, graph, arch), part) for part in lost), key=itemgetter(0))
        raise TooLarge(unit, required)
    cut = (
        part for index, unit in enumerate(graph.units) for part in side_by_side(unit, chosen.get(first.get(index, -1)))
    )
    return replace(graph, units=tuple(cut)) if chosen else graph


def least_bytes(unit: Unit, graph: UnitGraph, arch: Architecture) -> int:
    """Of SRAM, that the unit needs if every tensor is in DRAM. How its weights are cut depends on how much there is."""
    size = arch.sram_bytes
    while True:
        machine = replace(arch, sram_bytes=size)
        needed = _search([unit], graph, UnitWeights([unit], machine), machine).smallest(0)
        if needed <= size:
            return size
        size = needed


def _likeness(search: Search, index: int) -> Hashable:
    """Units that have this in common cost the same, cut or not."""
    unit = search.units[index]
    row, column = unit.out_shape[2] // 2, unit.out_shape[3] // 2 // unit.column_step * unit.column_step
    seen = tuple(
        (unit.needed_rows(operand, (row, row + 1)), unit.needed_columns(operand, (column, column + unit.column_step)))
        for operand in range(len(unit.inputs))
    )
    weights = ((part.rows, part.bytes, part.largest) for part in search.cost.weights.of_all_shapes(index))
    return type(unit), unit.kind, unit.in_shape, unit.out_shape, seen, tuple(weights), unit.streamed_bytes


def _costs(search: Search, indices: Iterable[int]) -> Iterator[tuple[int, float]]:
    """Of those units that may gain, by their index, a cost: parts are to take less than `MORE_PARTS` of it, which is `WORTH` of
    what the unit costs as it is."""
    for index in indices:
        unit, stage = search.units[index], search.alone(index)
        divides = unit.out_shape[3] > unit.column_step
        if stage is None:
            yield index, math.inf
        elif divides and _least_cost(search, index, stage.weights[0]) < WORTH * stage.cost:
            yield index, WORTH / MORE_PARTS * stage.cost


def _least_cost(search: Search, index: int, weights: Weights) -> int:
    """Of a unit, if all that it touches is loaded or stored once and it works on all of its output at once."""
    unit, cost = search.units[index], search.cost
    batch, _, height, width = unit.out_shape
    compute = cost.unit_cycles(index, weights, {batch * height * width: 1})
    tensors = [unit.out_shape, *(unit.operand_shape(operand) for operand in range(len(unit.inputs)))]
    return max(compute, cost.transfer_cycles(weights.bus_bytes)) + cost.transfer_cycles(sum(map(math.prod, tensors)))


def _trials(index: int, unit: Unit) -> Iterator[_Trial]:
    """Two parts, four, and so on; the last one has the fewest columns that there can be."""
    columns, step = unit.out_shape[3], unit.column_step
    parts, width = 1, columns
    while width > step:
        parts *= 2
        width = -(-columns // (parts * step)) * step
        first = (columns - width) // 2 // step * step
        yield _Trial(index, width, unit.narrowed((first, first + width)))


def side_by_side(unit: Unit, width: int | None) -> Iterator[Unit]:
    """Parts of so many columns, or the unit as it is."""
    if width is None:
        yield unit
        return
    columns = unit.out_shape[3]
    for first in range(0, columns, width):
        yield unit.narrowed((first, min(first + width, columns)))


def _search(units: Sequence[Unit], graph: UnitGraph, weights: UnitWeights, arch: Architecture) -> Search:
    """Of units each of which is looked at alone, with all tensors between it and others."""
    tensors = Tensors(UnitGraph(tuple(units), graph.stored, (), (), {}, {}))
    return Search(tensors, CostModel(units, weights.of(units), arch), arch)
