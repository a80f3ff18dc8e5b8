"""The tutorial on PyTorch's PT2E runs as it is, on a few images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tutorials.test_tutorials import run


def test_lenet5_with_pt2e(tmp_path: Path) -> None:
    pytest.importorskip("torchao.quantization.pt2e")
    printed = run("relax/04_pt2e", tmp_path, "--limit", 20)
    lines = printed.splitlines()
    assert lines[0] == "20 test images, 128 to calibrate with"
    assert [line.split()[0] for line in lines if line.endswith("Re²Na")] == [
        *("conv2d", "max_pool2d", "conv2d", "max_pool2d", "reshape"),
        *("dense", "dense", "dense"),
    ]
    assert [line.split()[0] for line in lines if "CPU: " in line and "identical" not in line] == [
        "quantize",
        "dequantize",
    ]
    assert lines[-4:] == [
        "float 1.0000, int8 CPU 1.0000, Re²Na 1.0000",
        "0 accumulator overflows",
        "bit-identical to the CPU: 20 of 20 images",
        "wrote pt2e_differences.png",
    ]
