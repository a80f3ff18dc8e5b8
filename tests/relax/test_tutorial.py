"""The tutorials on Relax run as they are, on a few images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tutorials.test_tutorials import run, small_resnet

pytest.importorskip("matplotlib")


def test_resnet18_with_relax(tmp_path: Path) -> None:
    printed = run("relax/01_relax_resnet18", tmp_path, *small_resnet(tmp_path), "--limit", 2)
    assert "bit-identical: True" in printed
    assert "8 of 10 operators run on Re²Na" in printed
    assert (tmp_path / "resnet18_cycles.png").is_file()


def test_alexnet_with_relax(tmp_path: Path, demo_data: Path) -> None:
    """On LeNet-5, which comes with the package."""
    calibration = demo_data / "mnist_calibration128.npz"
    images = ["--data", demo_data / "mnist_test1000.npz", "--calibration", calibration, "--limit", 2]
    printed = run("relax/02_relax_alexnet", tmp_path, "--model", demo_data / "lenet5_mnist.onnx", *images)
    assert "bit-identical to the CPU: True" in printed
    assert (tmp_path / "alexnet_re2na.so").is_file() and (tmp_path / "alexnet_cycles.png").is_file()


def test_lenet5_with_relax(tmp_path: Path) -> None:
    printed = run("relax/03_relax_lenet5", tmp_path, "--limit", 20)
    assert "bit-identical to the CPU: True" in printed
    assert "/conv1/Conv" in printed
    assert "top-1 on Re²Na 1.0000" in printed
    assert (tmp_path / "lenet5_re2na.so").is_file()
