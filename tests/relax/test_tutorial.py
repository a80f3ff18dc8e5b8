"""The tutorial on Relax runs as it is, on a few images."""

from __future__ import annotations

from pathlib import Path

from tests.tutorials.test_tutorials import run


def test_lenet5_with_relax(tmp_path: Path) -> None:
    printed = run("07_relax", tmp_path, "--limit", 20)
    assert "bit-identical to the CPU: True" in printed
    assert "/conv1/Conv" in printed
    assert "top-1 on Re²Na 1.0000" in printed
    assert (tmp_path / "lenet5_re2na.so").is_file()
