"""Nothing is loaded before it is needed: help must come at once."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors
from tvm_re2na.cli.commands_described import COMMANDS
from tvm_re2na.cli.parser import OPTIONS, make_parser

LARGE = ("numpy", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "rich", "torch", "tvm", "tvm_ffi")
HELP = """
import contextlib, io, sys
from tvm_re2na.cli import main
for arguments in (["--version"], ["--help"], *([command, "--help"] for command in sys.argv[1:])):
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main(arguments)
    assert "re2na" in printed.getvalue(), arguments
print(*sys.modules)
"""
LOAD = """
import sys
from tvm_re2na import pipeline
assert pipeline.is_quantized(pipeline.load_model(sys.argv[1]))
print(*sys.modules)
"""


def loaded(code: str, *arguments: object) -> set[str]:
    """The modules that a fresh process has loaded after `code`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_help_and_version_load_nothing_large() -> None:
    assert not loaded(HELP, *OPTIONS).intersection(LARGE)


def test_every_command_is_described() -> None:
    assert list(OPTIONS) == list(COMMANDS)
    for page, form in (("README.md", r"^\| `re2na (\w+)"), ("docs/cli.md", r"^\| `(\w+)")):
        named = re.findall(form, (ROOT / page).read_text(encoding="utf-8"), re.M)
        assert set(OPTIONS) <= set(named), page


def test_a_quantised_model_needs_no_quantiser(quantized: Path) -> None:
    modules = loaded(LOAD, quantized)
    assert "onnx" in modules
    assert not modules & {"onnxruntime", "tvm", "tvm_re2na.prequantized", "tvm_re2na.quantize"}


@pytest.mark.parametrize("name", OPTIONS)
def test_help_says_what_a_command_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sentence, as the list of commands has it; a page and a heading that are there; an example that the parser takes."""
    sentence, page, example = COMMANDS[name]
    with pytest.raises(SystemExit):
        make_parser().parse_args([name, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{sentence[0].upper()}{sentence[1:]}. More: {page}" in shown
    assert shown.endswith(f"example: re2na {name} {example}".strip())
    assert sentence in " ".join(make_parser().format_help().split())
    path, _, anchor = page.partition("#")
    assert anchor in {"", *anchors(ROOT / path)}
    make_parser().parse_args([name, *shlex.split(example.partition(" > ")[0])])
