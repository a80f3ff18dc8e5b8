"""Units cut along their columns: whatever is cut wherever computes the same, and nothing is too wide."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.codegen.test_compiler import check
from tvm_re2na.codegen import plan
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import UnitTooLarge
from tvm_re2na.codegen.schedule.columns import side_by_side
from tvm_re2na.codegen.schedule.search import Search
from tvm_re2na.codegen.schedule.units import UnitGraph
from tvm_re2na.runtime import hazards

KINDS = {"conv", "pool", "concat", "eltwise", "upsample", "parts", "scale", "depth_to_space", "lookup", "transposed"}
SRAM = (1536 * 1024, 24 * 1024, 6 * 1024, 3 * 1024)


def test_units_cut_anywhere_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tensors in SRAM and in DRAM, in cascades and alone."""
    rng, kinds = np.random.default_rng(0), Counter[str]()

    def cut(search: Search, *_: object) -> UnitGraph:
        units = []
        for unit in search.units:
            columns, step = unit.out_shape[3], unit.column_step
            width = int(rng.integers(1, -(-columns // step) + 1)) * step
            units += side_by_side(unit, width)
            kinds[unit.kind] += width < columns
        return replace(search.tensors.graph, units=tuple(units))

    monkeypatch.setattr(plan, "cut_columns", cut)
    for seed in range(40):
        graph = random_graph(np.random.default_rng(seed), seed % 7 + 1, cuts=seed % 2 == 1, lookups=seed // 4 % 2 == 1)
        arch = Architecture(sram_bytes=SRAM[seed % 4], channel_cuts=seed % 2, activation_table=seed // 4 % 2)
        try:
            hazards.check(check(graph, arch, seed))
        except UnitTooLarge:
            continue
    assert {kind for kind in KINDS if kinds[kind] > 1} == KINDS


def test_the_sram_that_an_error_asks_for_will_do() -> None:
    cut = 0
    for seed in range(12):
        graph = random_graph(np.random.default_rng(seed), 2, size=24)
        arch = Architecture(sram_bytes=1024)
        try:
            program = compile_graph(graph, arch)
        except UnitTooLarge as error:
            assert error.required > 1024
            program = compile_graph(graph, replace(arch, sram_bytes=error.required))
        hazards.check(program)
        cut += len(program.instructions) > 100
    assert cut
