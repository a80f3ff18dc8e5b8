"""TVM's own command line, of which nobody has told it that we are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tvm.driver import tvmc
from tvm.driver.tvmc.main import _main

from tests.frontends.qdq import QdqBuilder, lenet, small_weights
from tests.relay.harness import load, run_cpu
from tvm_re2na import NotOffloadedWarning
from tvm_re2na.relay import prepare

RNG = np.random.default_rng(4)
SHAPE = (2, 1, 12, 12)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(lenet(np.random.default_rng(0), batch=2), "net.onnx")
    return tmp_path


def compile_here(*arguments: str, target: str = "re2na, llvm") -> int:
    return int(_main(["compile", "--target", target, *arguments, "-o", "net.tar"]) or 0)


def test_the_stock_command(folder: Path) -> None:
    """Compiled, run, and loaded in Python; what runs on the simulator is what TVM's CPU makes of it."""
    image = RNG.normal(size=SHAPE).astype(np.float32)
    np.savez("in.npz", input=image)
    for arguments in (
        ["compile", "--target", "re2na, llvm", "net.onnx", "-o", "net.tar"],
        ["run", "net.tar", "-i", "in.npz", "-o", "out.npz"],
    ):
        command = [sys.executable, "-m", "tvm.driver.tvmc", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
        assert done.returncode == 0, done.stderr
    expected = run_cpu(prepare(load(onnx.load("net.onnx"))), [image])[0]
    np.testing.assert_array_equal(np.load("out.npz")["output_0"], expected)
    package = tvmc.TVMCPackage("net.tar")
    assert '"tvmgen_default_re2na_main_0"' in package.graph
    loaded = tvmc.run(package, device="cpu", inputs={"input": image})
    np.testing.assert_array_equal(loaded.outputs["output_0"], expected)


def test_open_shapes_are_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = QdqBuilder(("N", 4, 8, "W"), -6)
    b.conv(small_weights(RNG, 4, 4, 3, 3), None, exponent=-4)
    onnx.save(b.build(), "open.onnx")
    assert compile_here("open.onnx") == 4
    said = capsys.readouterr().err
    assert "the shape of input 'input' is open: ?x4x8x?" in said
    assert '--input-shapes "input:[1,4,8,1]"' in said


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("re2na -mac_intervall=1, llvm", "unknown field 'mac_intervall'"),
        ("re2na -mac_interval=0, llvm", "mac_interval"),
        ("re2na -arch=none.toml, llvm", "none.toml"),
    ],
)
def test_what_is_wrong_with_the_machine(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    assert compile_here("net.onnx", target=target) == 4
    assert said in capsys.readouterr().err


def test_options_name_the_machine(folder: Path) -> None:
    """As fields, and as a file of the same; neither is the default machine's program."""
    Path("machine.toml").write_text("mac_interval = 1\n")
    graphs = []
    for option in ("", " -mac_interval=1", " -arch=machine.toml"):
        assert compile_here("net.onnx", target=f"re2na{option}, llvm") == 0
        graphs.append(tvmc.TVMCPackage("net.tar"))
    programs = [Path(package.lib_path).read_bytes() for package in graphs]
    headers = [content[content.index(b"RE2NAPRG") :][:64] for content in programs]
    assert headers[1] == headers[2] != headers[0]


def test_nothing_offloaded_is_said(folder: Path) -> None:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 1, 1), None, weight_scale=0.013, exponent=-4)
    onnx.save(b.build(), "rejected.onnx")
    with pytest.warns(NotOffloadedWarning, match="the module's only quantised operator cannot"):
        assert compile_here("rejected.onnx") == 0
