"""What the tutorials say before they begin: help without anything, and what is missing in one line."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

from tvm_re2na.tutorials import scripts

TUTORIALS = scripts()
OPTIONAL = ("torch", "torchao", "torchvision", "matplotlib", "tvm", "tvm.relay", "tvm.relax")


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def ended(path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> object:
    """The code or the message with which the tutorial ends where nothing optional is installed."""
    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "tvm_re2na.tutorials.lenet5_torch", raising=False)
    monkeypatch.setattr(sys, "argv", [path.name, *options])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(path), run_name="__main__")
    return caught.value.code


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_help_and_what_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(path, monkeypatch, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")
    message = str(ended(path, monkeypatch))
    assert re.fullmatch(rf"{path.name}: needs .*: pip install 'tvm_re2na\[\w+\]'", message)


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_each_says_its_tvm_and_its_time(path: Path) -> None:
    told = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    assert re.search(r"Needs [^.]*(TVM 0\.(19|27)|either TVM)", told)
    assert re.search(r"Takes (a minute|half a minute|\w+ (seconds|minutes))", told)
