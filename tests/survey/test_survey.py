"""Surveys of the demo's LeNet-5; of a small network the command, with its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na import load_dataset, load_model
from tvm_re2na.cli import main
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.pipeline import ModelError
from tvm_re2na.quantize import QuantizeOptions, quantize
from tvm_re2na.survey import survey_bits, survey_carry, survey_rounding, survey_sensitivity


@pytest.fixture(scope="module")
def lenet(demo_data: Path) -> tuple[Any, ...]:
    images = load_dataset(demo_data / "mnist_test1000.npz", 200)
    return load_model(demo_data / "lenet5_mnist.onnx"), images, load_dataset(demo_data / "mnist_calibration128.npz")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a convolution and a dense layer, which TVM is quicker with than with LeNet-5, and labelled images."""
    folder = tmp_path_factory.mktemp("small")
    net = FloatNet(size=8)
    x = net.add("Flatten", net.add("Relu", net.conv("input", 3, 4)))
    onnx.save(net.build(net.gemm(x, 4 * 6 * 6, 5)), folder / "net.onnx")
    images = net.images(64)
    np.savez(folder / "images.npz", x=images, y=net.rng.integers(0, 5, len(images)))
    return folder


def command(small: Path, kind: str, *more: str) -> list[str]:
    data = ["--data", str(small / "images.npz"), "--limit", "60"]
    known = ["--calibration", str(small / "images.npz"), "--calibration-limit", "32"]
    return ["survey", kind, str(small / "net.onnx"), *data, *known, *more]


def test_bits(lenet: tuple[Any, ...]) -> None:
    rows = survey_bits(*lenet, widths=(8, 3)).rows
    assert [row.bits for row in rows] == [8, 3]
    assert rows[0].top1 > rows[0].top1_float - 0.0075 and rows[1].top1 > 0.9  # at most one image of 200
    assert rows[0].snr_db > rows[1].snr_db + 10
    assert all(row.overflows == 0 and row.error is None for row in rows)


def test_a_width_that_cannot_be_quantised_is_a_row_with_its_error(lenet: tuple[Any, ...]) -> None:
    options = QuantizeOptions(weight_bits=4)
    narrow, wide = survey_bits(*lenet, widths=(3, 8), options=options).rows
    assert narrow.top1 is None and narrow.error == "weight_bits = 4 is outside 2..3, the machine's data width"
    assert wide.error is None and wide.top1 > 0.9


def test_carry(lenet: tuple[Any, ...]) -> None:
    survey = survey_carry(*lenet, accumulators=(20, 16))
    assert [row.layer for row in survey.rows] == ["/conv1/Conv", "/conv2/Conv", "/fc1/Gemm", "/fc2/Gemm", "/fc3/Gemm"]
    assert [row.additions for row in survey.rows] == [25, 150, 400, 120, 84]
    for row in survey.rows:
        assert row.observed_max <= 65535 and row.observed_max <= row.worst_case
        assert row.carry_bits <= 2 <= row.carry_bits_free + 1
        assert row.worst_case <= 128 * row.l1_norm + 2**17
    wide, narrow = survey.accumulators
    assert wide.overflows == 0 and narrow.overflows > 0 and narrow.overflows_chosen == 0
    assert narrow.top1_chosen > narrow.top1


def test_carry_of_an_average_in_steps() -> None:
    """The accumulator without limit needs no steps: what has no counterpart there has no row."""
    net = FloatNet(size=24)
    x = net.add("GlobalAveragePool", net.add("Relu", net.conv("input", 3, 4)))
    model, images = net.build(net.gemm(net.add("Flatten", x), 4, 5)), in_memory("images", net.images(4), None)
    assert [row.layer for row in survey_carry(model, images, images, accumulators=()).rows] == ["conv_0", "gemm_4"]


def test_rounding_shows_the_groups_collapse_and_its_correction(lenet: tuple[Any, ...]) -> None:
    rows = {row.rule: row for row in survey_rounding(*lenet, widths=(4,)).rows}
    theirs = rows["pyparch"]
    assert theirs.truncate < 0.6 < 0.9 < min(theirs.half_up, theirs.corrected)
    assert rows["searched"].half_up > theirs.half_up


def test_sensitivity(lenet: tuple[Any, ...]) -> None:
    survey = survey_sensitivity(*lenet, arch=Architecture(data_bits=4))
    assert len(survey.rows) == 5
    assert all(row.alone_snr_db > survey.snr_db for row in survey.rows)
    assert max(row.without_snr_db for row in survey.rows) > survey.snr_db


def test_a_quantised_model_is_refused(lenet: tuple[Any, ...]) -> None:
    model, images, known = lenet
    with pytest.raises(ModelError, match="needs the float one"):
        survey_bits(quantize(model, known.x).model, images, known)


@pytest.mark.parametrize(
    ("kind", "more", "keys"),
    [
        ("bits", ["--bits", "4"], {"bits", "top1", "top1_float", "overflows"}),
        ("carry", [], {"layer", "carry_bits", "observed_max", "worst_case", "headroom"}),
        ("rounding", ["--bits", "4"], {"bits", "rule", "half_up", "truncate", "corrected", "overflows"}),
        ("sensitivity", [], {"layer", "snr_db", "alone_top1", "without_top1"}),
    ],
)
def test_the_command(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, more: list[str], keys: set[str]
) -> None:
    figure = tmp_path / "figure.svg"
    assert main(command(small, kind, *more, "--json", "--plot", str(figure))) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows and all(keys <= set(row) for row in rows)
    assert figure.read_text(encoding="utf-8").startswith("<?xml")


def test_the_table(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(small, "bits", "--bits", "8")) == 0
    assert "Accuracy against width" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--plot", "figure.gif"], "ends in .png or .svg"),
        (["--plot", "/no/such/folder/figure.png"], "its folder does not exist"),
    ],
)
def test_bad_options_are_named(small: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    assert main(command(small, "bits", *more)) == 2
    assert message in capsys.readouterr().err


def test_widths_belong_to_surveys_that_have_them(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(small, "carry", "--bits", "8")) == 2
    assert "--bits: `survey carry` has no widths" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(command(small, "bits", "--bits", "9"))
    assert "'9' is no list of widths from 2 to 8" in capsys.readouterr().err
