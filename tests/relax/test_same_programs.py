"""The two front ends make the same program file of the same model, to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.models.topologies import TOPOLOGIES, quickly_quantized, synthetic_images
from tvm_re2na import Architecture, Program, load_dataset, pipeline


@pytest.fixture(scope="module")
def relay_python() -> str:
    """An interpreter whose environment holds TVM 0.19; `make test` names that of the other lane."""
    python = os.environ.get("RE2NA_RELAY_PYTHON")
    if not python:
        pytest.skip("set RE2NA_RELAY_PYTHON to a Python with tvm_re2na[relay]")
    return python


def demo_lenet5(folder: Path) -> onnx.ModelProto:
    calibration = load_dataset(folder / "mnist_calibration128.npz", 32)
    return pipeline.quantized_model(pipeline.load_model(folder / "lenet5_mnist.onnx"), calibration, Architecture())


def full_size(name: str) -> onnx.ModelProto:
    size = 64 if name == "alexnet" else 224  # its dense layers are what is large
    return quickly_quantized(TOPOLOGIES[name](size), synthetic_images(2, 3, size, seed=1), Architecture())


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "alexnet"])
def test_same_program(name: str, relay_python: str, demo_data: Path, tmp_path: Path) -> None:
    model = demo_lenet5(demo_data) if name == "lenet5" else full_size(name)
    onnx.save(model, tmp_path / "net.onnx")
    for front_end, python in {"relay": relay_python, "relax": sys.executable}.items():
        arguments = ["compile", tmp_path / "net.onnx", "--output", tmp_path / f"{front_end}.re2na"]
        command = [python, "-m", "tvm_re2na.cli", *map(str, arguments)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
    program = Program.open(tmp_path / "relax.re2na")
    assert all(source.macs for source in program.sources if source.op in ("conv2d", "dense"))
    assert (tmp_path / "relax.re2na").read_bytes() == (tmp_path / "relay.re2na").read_bytes()
