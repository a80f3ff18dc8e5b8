"""benchmarks/engines.py without other engines: who is judged, what is shown, and ours in its process."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import engines
from benchmarks.engines import ENGINES, Race
from benchmarks.engines_rows import BEATEN_RATE, OURS, TIMES, Row, misses, table, write_plot
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Cut, Dense
from tvm_re2na.runtime.library import Simulator

NETWORKS = tuple(dict.fromkeys(network for network, _ in TIMES))


def rows(factor: float = 1.0, rate: float = 90.0) -> list[Row]:
    """As if every engine were there: ours does 100 images a second, and its times are `factor` of their limits."""
    ours = [Row(name, OURS, "Re²Na", {1: 1.0}, {1: 1.0}, 100.0, 1.0) for name in NETWORKS]
    places = [(name, engine) for name in NETWORKS for engine in ENGINES if engine != OURS]
    ratios = {place: TIMES.get(place, 1.0) * factor for place in places}
    return ours + [Row(*place, place[1], {1: 1 / ratio}, {1: ratio}, rate, 0.9) for place, ratio in ratios.items()]


def test_limits() -> None:
    assert misses(rows()) == misses(rows(0.5)) == []
    slow = misses(rows(1.5))
    assert len(slow) == len(TIMES) and slow[0] == "lenet5: our time / onnxruntime's is 0.90, above 0.6"
    beaten = misses(rows(rate=100.0))
    assert len(beaten) == len(NETWORKS) * len(BEATEN_RATE)
    assert beaten[0] == "lenet5: 100 images/s on two processors, openvino does 100"


def test_what_cannot_be_judged_is_missed() -> None:
    gone = [row if row.engine != "litert" else Row(row.network, "litert", note="not installed") for row in rows()]
    assert set(misses(gone)) == {
        *(f"{name}: no time of litert to judge by" for name, engine in TIMES if engine == "litert"),
        *(f"{name}: no images a second of litert to judge by" for name in NETWORKS),
    }
    wrong = [replace(row, equal=0.995) if row.engine == OURS and row.network == "vgg16" else row for row in rows()]
    assert misses(wrong) == ["vgg16: 99.50% of our outputs are the reference's"]


def test_table_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = [*rows()[:-1], Row("vgg16", "tvm", note="TVM is not installed")]
    cells = zip(*(column.cells for column in table(found).columns), strict=True)
    lines = {line[:2]: line[2:] for line in cells}
    assert lines["lenet5", "Re²Na"] == ("1000", "", "", "", "100", "100.00%")
    assert lines["lenet5", "onnxruntime"] == ("1667", "0.60", "", "", "90", "90.00%")
    assert lines["vgg16", "tvm"][0] == "TVM is not installed"
    write_plot(found, tmp_path / "engines.svg")
    text = (tmp_path / "engines.svg").read_text()
    assert all(name in text for name in (*NETWORKS, "onnxruntime", "litert"))


def small() -> Graph:
    builder = GraphBuilder("small")
    weight = np.random.default_rng(0).integers(-20, 21, (4, 16)).astype(np.int8)
    dense = Dense("fc", (builder.input("x", (1, 16)),), "fc", weight, np.zeros(4, np.int32), Cut(5))
    return builder.build([builder.append(dense)])


def test_ours_runs_in_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an engine that does not come up is a row with its last words."""
    program = compile_graph(small())
    images = np.random.default_rng(1).integers(-128, 128, (2, 16)).astype(np.int8)
    expected = np.concatenate([Simulator(program).run([image[None]]).outputs[0] for image in images])
    expected[1] ^= 1
    program.save(tmp_path / "program.re2na")
    arrays = {"values": images, "images": images, "expected": expected}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "about.json").write_text(json.dumps({"output_scale": 1.0, "no_twin": "no twin"}))
    monkeypatch.setattr(engines, "SLICE", 0.01)
    monkeypatch.setattr(engines, "RATE_SLICE", 0.01)
    pythons = {OURS: engines.OWN, "openvino": engines.OWN}
    options = argparse.Namespace(rounds=1, processor_time=True, kernel="portable")
    found = {row.engine: row for row in Race(tmp_path, pythons, {}, options).rows()}
    mine = found[OURS]
    assert mine.name == "Re²Na, portable" and mine.equal == 0.5 and mine.ratios == {1: 1.0}
    assert mine.rate and mine.seconds[1] > 0
    assert "openvino" in found["openvino"].note and found["litert"].note == "no twin"
