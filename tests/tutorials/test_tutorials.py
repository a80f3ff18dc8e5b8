"""The tutorials run as they are, on a few images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import Networks

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


def fashion(real_data: Path, network: str, limit: int) -> list[object]:
    calibration = real_data / "fmnist64_calib512.npz"
    model = real_data / f"{network}_fmnist64.onnx"
    return ["--model", model, "--data", real_data / "fmnist64_test.npz", "--calibration", calibration, "--limit", limit]


def test_lenet5(tmp_path: Path) -> None:
    assert "bit-identical to the CPU: True" in run("01_lenet5", tmp_path, "--limit", 20)


def test_resnet18(tmp_path: Path, real_data: Path, networks: Networks) -> None:
    networks.fashion(real_data, "resnet18")  # what the tutorial calibrates with is what this does
    assert "bit-identical: True" in run("02_resnet18", tmp_path, *fashion(real_data, "resnet18", 2))


def test_alexnet(tmp_path: Path, real_data: Path, networks: Networks) -> None:
    networks.fashion(real_data, "alexnet")
    printed = run("03_alexnet", tmp_path, *fashion(real_data, "alexnet", 2))
    assert "bit-identical to the CPU: True" in printed
    assert (tmp_path / "alexnet.int8.onnx").exists()


def test_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    printed = run("04_pytorch", tmp_path, "--limit", 50)
    assert "offloaded: 100% of the MACs; bit-identical to the simulator: True" in printed
    assert "17-bit accumulator" in printed and ", 0 overflows" in printed


def test_fine_tuning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert "bit-identical to the CPU: True, overflows: 0" in run("05_fine_tuning", tmp_path, "--steps", 40)


def test_pruning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    printed = run("06_pruning", tmp_path, "--steps", 10, "--sparsities", 0, 0.5)
    assert printed.count("block") >= 2 and (tmp_path / "pruning.png").stat().st_size > 10_000
