"""What the tutorials say before they begin: help without anything, and what is missing in one line."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parent.parent.parent / "tutorials").glob("0*.py"))
OPTIONAL = ("torch", "torchao", "torchvision", "matplotlib", "tvm", "tvm.relay", "tvm.relax")
NEEDED = {
    "02_resnet18": ("--model", "m.onnx", "--data", "d.npz"),
    "03_alexnet": ("--model", "m.onnx", "--data", "d.npz"),
    "09_distillation": ("--teacher", "m.onnx", "--data", "d.npz"),
}


def ended(path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> object:
    """The code or the message with which the tutorial ends where nothing optional is installed."""
    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("common", "needs", "lenet5_torch"):  # the tutorials' own
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [path.name, *options])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(path), run_name="__main__")
    return caught.value.code


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_help_and_what_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(path, monkeypatch, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")
    message = str(ended(path, monkeypatch, *NEEDED.get(path.stem, ())))
    assert re.fullmatch(rf"{path.name}: needs .*: pip install 'tvm_re2na\[\w+\]'", message)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_each_says_its_tvm_and_its_time(path: Path) -> None:
    told = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    assert re.search(r"Needs [^.]*(TVM 0\.(19|27)|either TVM)", told)
    assert re.search(r"Takes (a minute|half a minute|\w+ (seconds|minutes))", told)
