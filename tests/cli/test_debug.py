"""`re2na debug`: what it prints and writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tvm_re2na import frontends

pytestmark = [pytest.mark.usefixtures("shared"), pytest.mark.skipif(frontends.installed() is None, reason="needs TVM")]
ROW = {
    *("number", "name", "nodes", "op", "tensor", "shape", "place", "step", "onnx_runtime", "tvm", "re2na", "alone"),
    *("output_db", "saturated", "overflowed", "onnx_runtime_tvm", "tvm_re2na", "values", "errors"),
}
KEYS = {
    *("images", "reference", "sides", "operators", "outputs", "worst", "notes", "first_parting", "suspects", "agrees"),
}


def test_everything(re2na: Command, small: Path, small_float: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = small_float
    words = ["debug", small, "--float", model, "--data", data, "--limit", 3, "--images", 2]
    found = re2na(*words, "--dump", tmp_path / "dump", "--plot", tmp_path / "debug.png", "--json")
    assert found.code == 0, found.stderr
    assert found.json.keys() == KEYS and all(row.keys() == ROW for row in found.json["operators"])
    assert (found.json["images"], len(found.json["worst"]), found.json["agrees"]) == (3, 2, True)
    assert len(list((tmp_path / "dump").iterdir())) == len(found.json["operators"]) == 2
    assert (tmp_path / "debug.png").read_bytes().startswith(b"\x89PNG")
    shown = re2na(*words)
    for part in (
        "Signal over noise against the float model (3 images)",
        "TVM and Re²Na differ nowhere",
        "Worst images",
    ):
        assert part in shown.stdout
    assert "look first at: conv_0 (" in shown.stdout


def test_without_the_float_model(re2na: Command, small: Path, small_float: tuple[Path, Path]) -> None:
    found = re2na("debug", small, "--data", small_float[1], "--limit", 1)
    assert found.code == 0, found.stderr
    assert "against this model without its roundings; its weights are those of the file (1 images)" in found.stdout
    assert "--float FLOAT.onnx holds it against the float model" in found.stdout


def test_a_broken_layer_ends_with_1(re2na: Command, tmp_path: Path) -> None:
    """An accumulator that overflows: Re²Na's bits are not TVM's."""
    from tests.debugging.test_debug import overflowing

    onnx.save(onnx.shape_inference.infer_shapes(overflowing()), tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=np.full((1, 64, 5, 5), 1.9, np.float32))
    found = re2na("debug", tmp_path / "model.onnx", "--data", tmp_path / "x.npz")
    assert found.code == 1, found.stderr
    assert "TVM and Re²Na differ, first at conv_" in found.stdout and "(bits differ)" in found.stdout


def test_what_is_refused(re2na: Command, small: Path, small_float: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = small_float
    found = re2na("debug", model, "--float", model, "--data", data, "--calibration", data)
    assert found.code == 2
    assert found.stderr == f"re2na: error: --float: is for a quantised model; {model} is the float model itself\n"
    found = re2na("debug", small, "--data", data, "--dump", data)
    assert found.code == 2 and str(data) in found.stderr and "Traceback" not in found.stderr
    found = re2na("debug", small, "--data", data, "--plot", tmp_path / "debug.gif")
    assert found.code == 2 and "debug.gif" in found.stderr
