"""Strips: each row is computed once, and what a row needs is there when it is computed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.schedule.residency import Tensors
from tvm_re2na.codegen.schedule.strips import Cascade, cut_strips, strip_heights, unroll
from tvm_re2na.codegen.schedule.unit.base import Unit
from tvm_re2na.codegen.schedule.units import make_units


def check_cascade(cascade: Cascade) -> None:
    """Replay the strips, holding only the rows that the cascade says it holds; of each unit that makes channels of a tensor."""
    makers = [unit for unit in cascade.units if unit.output in cascade.inner]
    held: dict[Unit, set[int]] = {}
    made: dict[Unit, list[int]] = {}
    image = -1
    for work in cascade.work:
        if work.strip.n0 != image:
            image, held, made = work.strip.n0, {unit: set() for unit in makers}, {}
        for unit in makers:
            held[unit] &= set(range(*work.windows[unit.output]))
        for unit, rows in zip(cascade.units, work.computed, strict=True):
            for operand, name in enumerate(unit.inputs if rows[0] < rows[1] else ()):
                needed = set(range(*unit.needed_rows(operand, rows)))
                for maker in makers:
                    if maker.output == name and reads_of(unit, operand, maker):
                        assert needed <= held[maker], f"{unit.output} rows {rows} lack rows of {name}"
                assert needed <= set(range(*work.windows.get(name, (0, 0)))), "every row that is read is in the window"
            made.setdefault(unit, []).extend(range(*rows))
            if unit in held:
                held[unit] |= set(range(*rows))
                assert held[unit] <= set(range(*work.windows[unit.output]))
        for rows in made.values():
            assert len(rows) == len(set(rows)), "no row is computed twice"


def reads_of(unit: Unit, operand: int, maker: Unit) -> bool:
    """Whether channels that `maker` makes are among those that `unit` reads."""
    first, channels = unit.part(operand).first, unit.operand_shape(operand)[1]
    return maker.out_first < first + channels and first < maker.out_first + maker.out_shape[1]


@pytest.mark.parametrize("seed", range(60))
def test_random_cascades(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arch = Architecture(activation_table=seed % 2)
    units = make_units(fold(random_graph(rng, 8, size=24, lookups=seed % 2 == 1)), arch)
    tensors, tried = Tensors(units), 0
    for first in range(len(units.units)):
        for last in range(first, len(units.units)):
            if not tensors.is_cascade(first, last):
                continue
            shape = units.units[last].out_shape
            for height in strip_heights(shape)[:12]:
                cascade = unroll(units.units[first : last + 1], cut_strips(shape, height))
                if cascade.is_even:
                    check_cascade(cascade)
                tried += 1
    assert tried or len(units.units) < 2


def test_strips_cover_every_row_once() -> None:
    for height in (1, 3, 7, 14, 20, 28):
        strips = cut_strips((3, 5, 7, 4), height)
        rows = [(n, y) for strip in strips for n in range(strip.n0, strip.n1) for y in range(*strip.rows)]
        assert rows == [(n, y) for n in range(3) for y in range(7)]
