"""The tutorials run as they are, on a few images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.quantize.networks import residual_model

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.usefixtures("shared")


def run(name: str, folder: Path, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "tutorials" / f"{name}.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_lenet5(tmp_path: Path) -> None:
    assert "bit-identical to the CPU: True" in run("relay/03_relay_lenet5", tmp_path, "--limit", 20)


def small_resnet(folder: Path) -> list[object]:
    """Options for a network with one residual block: ResNet-18 goes the same way in tests/models."""
    model, images = residual_model()
    onnx.save(model, folder / "net.onnx")
    np.savez(folder / "images.npz", x=images, y=np.arange(len(images)) % 5)
    return ["--model", folder / "net.onnx", "--data", folder / "images.npz"]


def test_resnet18(tmp_path: Path) -> None:
    printed = run("relay/01_relay_resnet18", tmp_path, *small_resnet(tmp_path), "--limit", 2)
    assert "bit-identical: True" in printed
    assert "8 of 10 operators run on Re²Na" in printed
    assert (tmp_path / "resnet18_cycles.png").is_file()


def test_where_there_is_no_network(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tutorials" / "relay" / "01_relay_resnet18.py")]
    environment = {name: value for name, value in os.environ.items() if name != "RE2NA_DATA"}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 1 and found.stderr.startswith(
        "01_relay_resnet18.py: needs a network and images: --model"
    )


def test_alexnet(tmp_path: Path, demo_data: Path) -> None:
    """On LeNet-5, which comes with the package."""
    calibration = demo_data / "mnist_calibration128.npz"
    images = ["--data", demo_data / "mnist_test1000.npz", "--calibration", calibration, "--limit", 2]
    printed = run("relay/02_relay_alexnet", tmp_path, "--model", demo_data / "lenet5_mnist.onnx", *images)
    assert "bit-identical to the CPU: True" in printed
    assert (tmp_path / "alexnet.int8.onnx").exists() and (tmp_path / "alexnet_machines.png").exists()


def test_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    printed = run("pytorch/01_convert", tmp_path, "--limit", 50)
    assert "offloaded: 100% of the MACs; bit-identical to the simulator: True" in printed
    assert "17-bit accumulator" in printed and ", 0 overflows" in printed


def test_fine_tuning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert "bit-identical to the CPU: True, overflows: 0" in run("pytorch/02_fine_tuning", tmp_path, "--steps", 40)


def test_pruning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    printed = run("pytorch/03_pruning", tmp_path, "--steps", 10, "--sparsities", 0, 0.5)
    assert printed.count("block") >= 2 and (tmp_path / "pruning.png").stat().st_size > 10_000


def test_distillation(tmp_path: Path, demo_data: Path) -> None:
    """With LeNet-5 as the teacher, and MNIST."""
    pytest.importorskip("torch")
    files = ("--teacher", demo_data / "lenet5_mnist.onnx", "--data", demo_data / "mnist_test1000.npz")
    printed = run("pytorch/04_distillation", tmp_path, *files, "--images", 128, "--steps", 8, "--tested", 100)
    rows = [line.split() for line in printed.splitlines() if line.startswith(("labels alone:", "with the teacher:"))]
    assert [len([word for word in row if word.startswith("0.")]) for row in rows] == [4, 4]
    assert "bit-identical to the CPU: True, overflows: 0" in printed
