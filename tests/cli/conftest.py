"""Runs the command in this process, and small inputs for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na.cli import main


@dataclass(frozen=True)
class Outcome:
    """What one run of the command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Command = Callable[..., Outcome]


@pytest.fixture
def re2na(capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_of_argparse:
            code = int(exit_of_argparse.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def quantized(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's LeNet-5, quantised once for all tests."""
    folder = tmp_path_factory.mktemp("quantized")
    shutil.copy(demo_data / "lenet5_mnist.onnx", folder)
    path = folder / "lenet5.int8.onnx"
    arguments = ["quantize", folder / "lenet5_mnist.onnx", "--output", path]
    assert main([str(item) for item in [*arguments, "--calibration", demo_data / "mnist_calibration128.npz"]]) == 0
    return path


@pytest.fixture(scope="session")
def small_float(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One convolution, and images for it: where the claim is about a command, whatever the network."""
    folder, net = tmp_path_factory.mktemp("small"), FloatNet()
    onnx.save(net.build(net.conv("input", 3, 4)), folder / "small.onnx")
    np.savez(folder / "images.npz", x=net.images(40))
    return folder / "small.onnx", folder / "images.npz"


@pytest.fixture(scope="session")
def small(small_float: tuple[Path, Path]) -> Path:
    """The same, quantised."""
    model, images = small_float
    path = model.with_name("small.int8.onnx")
    assert main(["quantize", str(model), "--calibration", str(images), "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def program(quantized: Path) -> Path:
    """The demo's LeNet-5, compiled once for all tests."""
    path = quantized.with_name("lenet5.re2na")
    assert main(["compile", str(quantized), "--output", str(path)]) == 0
    return path
