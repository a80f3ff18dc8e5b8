"""`re2na tutorials` copies them out of the package, and what they share takes its settings from wherever they run."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_failures import assert_failure
from tests.docs.pages import ROOT
from tvm_re2na import frontends
from tvm_re2na.tutorials import FOLDER, SECTIONS, first, scripts
from tvm_re2na.tutorials.support import MEANINGS, settings, show_file


@pytest.mark.parametrize("front_end", ["relay", "relax"])
def test_they_are_copied(re2na: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front_end: str) -> None:
    monkeypatch.setattr(frontends, "installed", lambda: front_end)
    folder = tmp_path / "new" / "copies"
    found = re2na("tutorials", folder, "--json")
    assert found.code == 0, found.stderr
    first_one = folder / first(front_end).relative_to(FOLDER)
    assert found.json == {
        "scripts": [str(folder / path.relative_to(FOLDER)) for path in scripts()],
        "first": str(first_one),
    }
    for path in scripts():
        assert (folder / path.relative_to(FOLDER)).read_bytes() == path.read_bytes()
    there = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert there == set(SECTIONS), "what they share is imported from the package"
    changed = folder / scripts()[0].relative_to(FOLDER)
    changed.write_text("mine")
    again = re2na("tutorials", folder)
    assert again.code == 0 and f"begin with: python {first_one}" in " ".join(again.stdout.split())
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
    assert "\nTitle\n" in (shown := capsys.readouterr().out) and "test images (100)" in " ".join(shown.split())
    assert "an ONNX file" in shown and "None" not in shown
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


@pytest.mark.parametrize("path", scripts(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_setting_has_a_meaning(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    (call,) = (node for node in calls if getattr(node.func, "id", "") == "settings")
    assert {keyword.arg for keyword in call.keywords} <= set(MEANINGS)


def test_the_site_and_the_readme_begin_with_the_same() -> None:
    for page in (FOLDER / "GALLERY_HEADER.rst", ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert all(first(name).relative_to(FOLDER).with_suffix("").as_posix() in text for name in ("relay", "relax"))
