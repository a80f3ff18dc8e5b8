"""TFLite through TVM's importer: power-of-two scales are offloaded with TVM's bits, others stay on the CPU with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tflite")

from tests.prequantized.tflite_writer import network
from tvm_re2na import pipeline
from tvm_re2na.cli import main
from tvm_re2na.codegen.arch import Architecture


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    path = tmp_path / "exact.tflite"
    path.write_bytes(network())
    return path


def test_power_of_two_scales_are_offloaded_bit_for_bit(exact: Path) -> None:
    mod, params = pipeline.import_tflite(exact)
    built = pipeline.build_for_re2na(mod, params, Architecture())
    assert built.offloaded_macs_share == 1.0
    cpu, re2na = pipeline.build_for_cpu(mod, params).executor(), built.executor()
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
        np.testing.assert_array_equal(re2na(x)[0], cpu(x)[0])


def test_explain_and_compile(exact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(exact), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["conv"]["offloaded"] and rows["pool"]["offloaded"] and rows["out_0"]["offloaded"]
    assert main(["compile", str(exact), "--output", str(tmp_path / "net.re2na"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["offloaded_macs_share"] == 1.0 and len(list(tmp_path.glob("net*.re2na"))) == 2


def test_other_scales_stay_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(network(step=1.1))
    assert main(["explain", str(path), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["conv"]["rule"] == rows["out_0"]["rule"] == "power_of_two_scales"


def test_what_cannot_be_done_is_said(exact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 no model")
    assert main(["explain", str(broken)]) == 2
    assert "broken.tflite: TVM cannot import it" in capsys.readouterr().err
    assert main(["requantize", str(exact), "--calibration", str(exact)]) == 2
    assert "a TFLite model; `explain` and `compile` take it" in capsys.readouterr().err
