"""`re2na report`, and the files that `explain` writes for other viewers."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Command
from tests.cli.test_failures import assert_failure
from tvm_re2na.reporting import read_report

pytestmark = pytest.mark.usefixtures("shared")


def test_a_model_gives_a_page_and_its_document(
    re2na: Command, small: Path, small_float: tuple[Path, Path], tmp_path: Path
) -> None:
    page, data = tmp_path / "small.html", small_float[1]
    words = ("--data", data, "--limit", 3, "--check-images", 1, "--output", page)
    found = re2na("report", small, *words, "--json")
    assert found.code == 0, found.stderr
    (tmp_path / "a.json").write_text(found.stdout)
    document = read_report(tmp_path / "a.json")
    assert (document.title, document.data, document.given_quantized) == (small.name, data.name, True)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert document.made["command"].startswith("re2na report ") and document.made["command"].endswith("--json")
    assert document.made["opinion images"] == "1" and document.made["date"].endswith(" UTC")
    assert f"<td>{html.escape(document.made['command'])}</td>" in text
    drawn = re2na("report", tmp_path / "a.json", "--output", tmp_path / "again.html")
    assert drawn.code == 0, drawn.stderr
    assert "bit-identical to the CPU" in drawn.stdout and drawn.stdout.endswith(f"wrote {tmp_path / 'again.html'}\n")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    _compared(re2na, small, words, tmp_path)


def _compared(re2na: Command, small: Path, words: tuple[object, ...], folder: Path) -> None:
    (folder / "fast.toml").write_text("mac_interval = 1\n")
    other = re2na("report", small, *words, "--arch", folder / "fast.toml", "--json")
    (folder / "b.json").write_text(other.stdout)
    found = re2na("report", folder / "a.json", folder / "b.json", "--output", folder / "two.html", "--json")
    assert found.code == 0, found.stderr
    assert (found.json["a"], found.json["b"]) == ("a", "b")
    assert found.json["machine"] == [{"name": "mac_interval", "a": "5", "b": "1", "better": None}]
    figures = {item["name"]: item for item in found.json["figures"]}
    assert figures["cycles"]["better"] is True and figures["cycles"]["b"] < figures["cycles"]["a"]
    assert [layer["changed"] for layer in found.json["layers"]]
    assert (folder / "two.html").stat().st_size > 10**6
    table = re2na("report", folder / "a.json", folder / "b.json", "--output", folder / "two.html", "--format", "plain")
    assert "mac_interval" in table.stdout and "* " in table.stdout


def test_what_a_report_cannot_be_made_of(
    re2na: Command, small: Path, small_float: tuple[Path, Path], tmp_path: Path
) -> None:
    data = small_float[1]
    assert_failure(re2na("report", small), 2, "a report needs test images (--data)")
    (tmp_path / "a.json").write_text("{}")
    assert_failure(re2na("report", tmp_path / "a.json"), 2, "a.json: report_version None, expected 1")
    assert_failure(re2na("report", tmp_path / "none.json"), 2, "none.json: No such file")
    assert_failure(re2na("report", tmp_path / "a.json", "--data", data), 2, "--data: is for a model")
    assert_failure(re2na("report", small, tmp_path / "a.json", "--data", data), 2, "is a model")
    there = re2na("report", small, "--data", data, "--output", tmp_path / "no" / "page.html")
    assert_failure(there, 2, "its folder does not exist")
    survey = re2na("report", small, "--data", data, "--survey", tmp_path / "a.json", "--output", tmp_path / "p.html")
    assert_failure(survey, 2, "a.json: has no rows")
    assert not list(tmp_path.glob("*.html"))


def test_without_plotly_the_command_names_the_extra(
    re2na: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    found = re2na("report", small, "--data", small)
    assert_failure(found, 4, "plotly is not installed: pip install 'tvm_re2na[report]'")


def test_json_alone_writes_no_page(
    re2na: Command, small: Path, small_float: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "plotly", None)
    found = re2na("report", small, "--data", small_float[1], "--limit", 2, "--check-images", 0, "--json")
    assert found.code == 0, found.stderr
    (tmp_path / "a.json").write_text(found.stdout)
    for words in (("a.json",), ("a.json", "a.json")):
        assert re2na("report", *words, "--format", "json").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_explain_writes_for_other_viewers(re2na: Command, small: Path, tmp_path: Path) -> None:
    explorer, netron = tmp_path / "small.json", tmp_path / "small.onnx"
    found = re2na("explain", small, "--model-explorer", explorer, "--annotate", netron)
    assert found.code == 0, found.stderr
    files = (explorer, tmp_path / "small.cycles.json", netron)
    assert found.stdout.endswith("".join(f"wrote {path}\n" for path in files))
    (data,) = json.loads(explorer.read_text()).values()
    nodes = {node.name: {item.key for item in node.metadata_props} for node in onnx.load(netron).graph.node}
    assert data["results"].keys() <= nodes.keys()
    assert all("re2na.place" in nodes[name] for name in data["results"])


def test_explain_refuses_viewers_before_the_work(re2na: Command, small: Path, tmp_path: Path) -> None:
    there = re2na("explain", small, "--annotate", tmp_path / "no" / "net.onnx")
    assert_failure(there, 2, "its folder does not exist")
    (tmp_path / "net.tflite").write_bytes(b"")
    lite = re2na("explain", tmp_path / "net.tflite", "--model-explorer", tmp_path / "net.json")
    assert_failure(lite, 2, "--model-explorer: takes ONNX")
