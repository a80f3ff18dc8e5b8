"""The document against what it was made from, and back from a file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.reporting.made import assembled, renamed, residual
from tvm_re2na.reporting import (
    ReportError,
    RunReport,
    comparison_page,
    differences,
    page,
    read_report,
    read_survey,
    run_page,
)
from tvm_re2na.reporting.time_charts import sram
from tvm_re2na.runtime.timeline import CAUSES

RNG = np.random.default_rng(21)
ODD: tuple[Any, ...] = (None, 0, -1, 3, 2**70, 0.5, float("nan"), float("inf"), "", "x", True, [], {}, [1], {"a": 1})


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    report = renamed(residual(twice=True), 3, "näme")
    (tmp_path / "a.json").write_text(json.dumps(report.to_json()))
    assert read_report(tmp_path / "a.json") == report


def test_the_array_is_told_cycle_by_cycle() -> None:
    report = residual(twice=True)
    for region in report.regions:
        array = [work for work in region.work if work.engine == "ARRAY"]
        assert array[0].start == region.start and array[-1].finish == region.start + region.cycles
        assert all(before.finish == after.start for before, after in pairwise(array))
    for place, layer in enumerate(report.layers):
        own = [
            work for region in report.regions for work in region.work if work.layer == place and work.engine == "ARRAY"
        ]
        causes = dict.fromkeys(CAUSES, 0)
        for work in own:
            causes[work.what] += work.finish - work.start
        assert causes == (layer.costs.causes if layer.costs else dict.fromkeys(CAUSES, 0)), layer.name
        moved = sum(work.bytes for region in report.regions for work in region.work if work.layer == place)
        assert moved == (layer.costs.dram_bytes if layer.costs else 0)
    assert report.cycles == report.total["cycles"] == sum(region.cycles for region in report.regions)


def test_tokens_lead_from_what_ends_to_what_begins() -> None:
    report = residual()
    tokens = report.regions[0].tokens
    starts = {(work.engine, work.start) for work in report.regions[0].work}
    assert len(tokens) > 50
    assert all(token.given <= token.taken and token.giver != token.taker for token in tokens)
    loads = [token for token in tokens if token.taker == "LOAD"]
    assert all(("LOAD", token.taken) in starts for token in loads)


def test_the_most_live_bytes_of_any_layer_are_those_of_the_run() -> None:
    report = residual()
    most = max(live for _, live in report.regions[0].live)
    assert max(layer.costs.sram_peak_bytes for layer in report.layers if layer.costs) == most
    assert most <= report.total["sram_peak_bytes"]


def test_layers_of_two_regions_keep_their_places() -> None:
    report = residual(twice=True)
    half = len(report.layers) // 2 - 1
    for first, second in zip(report.layers[1 : 1 + half], report.layers[1 + half : -1], strict=True):
        assert (first.region, second.region) == (0, 1) and second.name == f"{first.name}.again"
        assert first.costs == second.costs


DAMAGE: list[tuple[str, Callable[[Any], Any], str]] = [
    ("version", lambda report: report | {"report_version": 7}, "report_version 7, expected 1"),
    ("another document", lambda report: {"images": 3}, "report_version None, expected 1"),
    ("a list", lambda report: [report], "report_version None"),
    ("no layers", lambda report: {key: report[key] for key in report if key != "layers"}, "no key 'layers'"),
    ("one more", lambda report: report | {"colour": 1}, "unknown key 'colour'"),
    ("text for a number", lambda report: report | {"batch": "one"}, "report.batch is 'one', expected int"),
    ("a truth for a number", lambda report: report | {"batch": True}, "report.batch is True, expected int"),
    (
        "a layer that is none",
        lambda report: _changed(report, "layers", 0, None),
        "layers[0] is None, expected an object",
    ),
    ("a place beyond", lambda report: _changed(report, "regions", 0, _beyond(report)), "of layer 999, there are"),
    (
        "a shape of words",
        lambda report: _changed(report, "layers", 1, _worded(report)),
        "layers[1].output_shape[0] is 'N'",
    ),
]


def _changed(report: Any, key: str, place: int, value: Any) -> Any:
    report[key][place] = value
    return report


def _beyond(report: Any) -> Any:
    region = report["regions"][0]
    region["work"][0]["layer"] = 999
    return region


def _worded(report: Any) -> Any:
    return report["layers"][1] | {"output_shape": ["N", 3]}


@pytest.mark.parametrize("change, words", [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_report_is_told_by_file_and_place(change: Callable[[Any], Any], words: str, tmp_path: Path) -> None:
    good = json.loads(json.dumps(residual().to_json()))
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(change(copy.deepcopy(good))))
    with pytest.raises(ReportError) as error:
        read_report(path)
    assert str(path) in str(error.value) and words in str(error.value)


def test_whatever_is_read_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents with one odd thing somewhere: an error that names the file, or a page."""
    monkeypatch.setattr(page, "check_library", lambda: "")
    good, path = json.dumps(assembled(random_graph(RNG, 3)).to_json()), tmp_path / "odd.json"
    refused = 0
    for _ in range(400):
        path.write_text(json.dumps(_odd(json.loads(good))))
        try:
            found = read_report(path)
        except ReportError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert run_page(found) and comparison_page(found, found, ("a", "b"))
    assert 40 < refused < 360


def _odd(document: Any) -> Any:
    """Something in it, at any depth, is gone or is something else."""
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[int(RNG.integers(len(keys)))]
        if isinstance(place[key], dict | list) and place[key] and RNG.random() < 0.9:
            place = place[key]
        elif RNG.random() < 0.2:
            del place[key]
            return document
        else:
            place[key] = ODD[int(RNG.integers(len(ODD)))]
            return document


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"12"])
def test_no_json_is_no_report(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    for read in (read_report, read_survey):
        with pytest.raises(ReportError, match=r"bad\.json"):
            read(tmp_path / "bad.json")


def test_a_survey_gives_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "survey.json"
    row = {"bits": 8, "top1": 0.5, "top1_float": None, "overflows": 0, "agreement": 1, "snr_db": 3, "error": None}
    path.write_text(json.dumps({"rows": [row]}))
    (found,) = read_survey(path)
    assert (found.bits, found.top1, found.snr_db) == (8, 0.5, 3)
    path.write_text(json.dumps({"rows": [row | {"bits": "8"}]}))
    with pytest.raises(ReportError, match=r"rows\[0\]\.bits is '8', expected int"):
        read_survey(path)


def test_the_same_run_twice_differs_in_nothing() -> None:
    found = differences(residual(), residual())
    assert (found.figures, found.machine, found.versions) == ((), (), ())
    assert not any(pair.changed for pair in found.layers)


def test_another_machine_differs_in_what_it_costs() -> None:
    slow, fast = residual(), residual(mac_interval=1)
    found = differences(slow, fast)
    cycles = next(item for item in found.figures if item.name == "cycles")
    assert (cycles.a, cycles.b, cycles.better) == (slow.total["cycles"], fast.total["cycles"], True)
    assert [(item.name, item.a, item.b) for item in found.machine] == [("mac_interval", "5", "1")]
    apart = [abs(pair.more_cycles) for pair in found.layers]
    assert apart == sorted(apart, reverse=True) and apart[0] > 0
    assert sum(pair.more_cycles for pair in found.layers) == fast.total["cycles"] - slow.total["cycles"]


def test_axes_of_bytes_have_steps_of_powers_of_two() -> None:
    form = sram(residual()).layout
    for axis, most in (("yaxis", residual().total["sram_peak_bytes"]), ("yaxis2", residual().number("sram_bytes"))):
        places = form[axis]["tickvals"]
        step = places[1]
        assert step & (step - 1) == 0 and places == list(range(0, most + 1, step)) and len(places) >= 3
    assert form["yaxis2"]["ticktext"][1].endswith((" KiB", " MiB"))


def test_layers_that_one_run_lacks_are_kept() -> None:
    found = differences(residual(), renamed(residual(), 2, "other"))
    lonely = {pair.name: (pair.a is None, pair.b is None) for pair in found.layers if None in (pair.a, pair.b)}
    assert lonely == {residual().layers[2].name: (False, True), "other": (True, False)}


def test_a_page_depends_on_the_document_alone(tmp_path: Path) -> None:
    report: RunReport = residual()
    (tmp_path / "a.json").write_text(json.dumps(report.to_json()))
    assert run_page(read_report(tmp_path / "a.json")) == run_page(report)
