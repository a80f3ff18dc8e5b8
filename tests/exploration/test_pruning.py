"""Machines that are left out are beaten by what was compiled for: front and rows are the same, whoever computes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tvm_re2na import Architecture, Exploration, explore
from tvm_re2na.cli.render import exploration_table
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.exploration.point import FIGURES, PRICES, compile_points, without_prices
from tvm_re2na.exploration.pruning import Candidate, Known, Pruner
from tvm_re2na.exploration.run import COSTS
from tvm_re2na.parallel.parcel import Here

SWEEP = {"sram_bytes": [16384, 65536, 1572864], "dram_bytes_per_cycle": [8, 24], "mac_interval": [5, 1]}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return random_graph(np.random.default_rng(11), 6)


@pytest.fixture(scope="module")
def whole(graph: Graph) -> Exploration:
    return explore(graph, SWEEP, jobs=1)


@pytest.fixture(scope="module")
def pruned(graph: Graph) -> Exploration:
    return explore(graph, SWEEP, jobs=1, prune=True)


def test_the_front_is_the_same(whole: Exploration, pruned: Exploration) -> None:
    for full, row in zip(whole.rows, pruned.rows, strict=True):
        assert not full["pruned"]
        if row["pruned"]:
            assert not full["pareto"] and not row["pareto"] and row["error"] is None
            assert row["cycles"] is row["dram_bytes"] is None
            assert row["cycles_bound"] <= full["cycles"]
        else:
            assert row == full
    assert sum(row["pruned"] for row in pruned.rows) >= 4
    assert sum(row["pareto"] for row in pruned.rows) >= 1


def test_whoever_is_left_out_is_beaten(whole: Exploration, pruned: Exploration) -> None:
    """By some machine of the front, in figures as well as in bounds."""
    front = [[row[name] for name in COSTS] for row in pruned.rows if row["pareto"]]
    for full, row in zip(whole.rows, pruned.rows, strict=True):
        mine = [full[name] for name in COSTS]
        beaten = any(all(a <= b for a, b in zip(best, mine, strict=True)) and best != mine for best in front)
        assert beaten or not row["pruned"]


def test_the_rows_do_not_depend_on_who_was_first(graph: Graph, pruned: Exploration, tmp_path: Path) -> None:
    """With so many threads nothing is known in time, and everything is compiled."""
    with ThreadPoolExecutor(2) as threads:
        assert explore(graph, SWEEP, threads, prune=True) == pruned
    assert explore(graph, SWEEP, jobs=2, prune=True, resume=tmp_path / "run") == pruned


def test_an_interrupted_sweep_goes_on_with_and_without(
    graph: Graph, whole: Exploration, pruned: Exploration, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "compile" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(graph, SWEEP, jobs=1, prune=True, resume=tmp_path / "run", progress=interrupt)
    assert explore(graph, SWEEP, jobs=1, prune=True, resume=tmp_path / "run") == pruned
    assert explore(graph, SWEEP, jobs=1, resume=tmp_path / "run") == whole


def test_the_bound_of_the_largest_sram_holds_for_all(graph: Graph, whole: Exploration) -> None:
    fields = list(SWEEP)
    machines = [Architecture(**{name: row[name] for name in fields}) for row in whole.rows]
    pruner = Pruner([Candidate(arch, (graph,), 1.0) for arch in machines])
    for index, row in enumerate(whole.rows):
        cycles, size, area = pruner.at_best(index)
        assert cycles <= row["cycles_bound"] <= row["cycles"] and size <= row["dram_bytes"] and area == row["area_mm2"]
    order = [machines[index].area_mm2 for index in pruner.order()]
    assert order == sorted(order)


def test_who_beats_whom() -> None:
    known = Known(1.0, (10, 20, 3.0))
    assert known.beats(1.0, (10, 20, 3.5)) and known.beats(1.0, (11, 20, 3.0)) and known.beats(0.5, (1, 1, 1.0))
    assert not known.beats(1.0, (10, 20, 3.0)), "equals share the front"
    assert not known.beats(1.0, (9, 99, 9.0))
    assert not Known(0.5, (1, 1, 1.0)).beats(1.0, (10, 20, 3.0)), "it offloads less"


def test_no_program_depends_on_prices() -> None:
    graph = random_graph(np.random.default_rng(3), 6)
    ours = Architecture()
    program = compile_graph(graph, ours)
    for name in PRICES:
        dear = replace(ours, **{name: getattr(ours, name) + 1})
        assert without_prices(dear) == ours
        assert replace(compile_graph(graph, dear), arch=ours) == program


def test_machines_of_one_program_have_figures_of_their_own() -> None:
    graph = random_graph(np.random.default_rng(5), 6)
    machines = [Architecture(clock_mhz=clock, dram_energy_fj=energy) for clock in (100, 300) for energy in (1, 90_000)]
    together = compile_points(Here((graph,)), machines)
    alone = [compile_points(Here((graph,)), [arch])[0] for arch in machines]
    assert together == alone
    assert len({outcome["figures"]["energy_uj"] for outcome in together}) == 4


def test_the_table_tells(pruned: Exploration) -> None:
    table = exploration_table(pruned)
    count = sum(row["pruned"] for row in pruned.rows)
    assert f"{count} of {len(pruned.rows)} machines were not compiled for" in str(table.caption)
    column = list(table.columns[len(SWEEP) + 1].cells)
    assert sum(str(cell).startswith(">= ") for cell in column) == count


def test_a_pruned_row_has_no_figure_but_its_bound(pruned: Exploration) -> None:
    row: dict[str, Any] = next(row for row in pruned.rows if row["pruned"])
    assert [name for name in FIGURES if row[name] is not None] == ["cycles_bound"]
    assert pruned.to_csv().splitlines()[0].endswith("pareto,pruned,error")
