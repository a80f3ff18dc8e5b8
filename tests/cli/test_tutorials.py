"""`re2na tutorials` copies them out of the package, and what they share takes its settings from wherever they run."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_failures import assert_failure
from tvm_re2na.tutorials import FOLDER, SECTIONS, scripts
from tvm_re2na.tutorials.support import settings, show_file


def test_they_are_copied(re2na: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "copies"
    found = re2na("tutorials", folder, "--json")
    assert found.code == 0, found.stderr
    assert found.json == {"scripts": [str(folder / path.relative_to(FOLDER)) for path in scripts()]}
    for path in scripts():
        assert (folder / path.relative_to(FOLDER)).read_bytes() == path.read_bytes()
    there = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert there == {"GALLERY_HEADER.rst", *SECTIONS}, "what they share is imported from the package"
    changed = folder / scripts()[0].relative_to(FOLDER)
    changed.write_text("mine")
    again = re2na("tutorials", folder)
    assert again.code == 0 and f"begin with: python {changed} --help" in " ".join(again.stdout.split())
    assert changed.read_bytes() == scripts()[0].read_bytes()


def test_a_folder_that_cannot_be_made(re2na: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_failure(re2na("tutorials", tmp_path / "file"), 2, f"{tmp_path / 'file'}: cannot be written")


def test_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"model": None, "limit": 100, "sparsities": [0.0, 0.5]}
    monkeypatch.setattr(sys, "argv", ["x.py", "--limit", "7", "--model", "a.onnx", "--sparsities", "0.9"])
    assert vars(settings("\nTitle\n", **given)) == {"model": Path("a.onnx"), "limit": 7, "sparsities": [0.9]}
    monkeypatch.setattr(sys, "argv", ["x.py", "--help"])
    with pytest.raises(SystemExit):
        settings("\nTitle\n=====\n", **given)
    assert "\nTitle\n" in (shown := capsys.readouterr().out) and "(100)" in shown
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert vars(settings(None, **given)) == given


def test_pictures_are_shown_where_there_is_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    display = types.SimpleNamespace(Image=lambda name: name, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    show_file("a.png")
    assert not shown and capsys.readouterr().out == "wrote a.png\n"
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    show_file("a.png")
    assert shown == ["a.png"]
