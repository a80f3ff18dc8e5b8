"""Nothing is loaded before it is needed: help must come at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tvm_re2na.cli.parser import make_parser

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


def commands() -> list[str]:
    usage = make_parser().format_help().split("COMMAND\n")[1]
    return [line.split()[0] for line in usage.splitlines() if line.startswith("    ") and line[4:5].strip()]


def test_help_and_version_load_nothing_large() -> None:
    assert {"quantize", "compare", "doctor"} <= set(commands())
    assert not loaded(HELP, *commands()).intersection(LARGE)


def test_a_quantised_model_needs_no_quantiser(quantized: Path) -> None:
    modules = loaded(LOAD, quantized)
    assert "onnx" in modules
    assert not modules & {"onnxruntime", "tvm", "tvm_re2na.prequantized", "tvm_re2na.quantize"}
