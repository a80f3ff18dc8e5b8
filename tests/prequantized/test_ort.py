"""Models quantised by ONNX Runtime go through every command."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tvm_re2na import load_dataset
from tvm_re2na.evaluate import float_runner
from tvm_re2na.prequantized import dequantise

pytestmark = pytest.mark.usefixtures("shared")
FORMS = list(itertools.product(("QDQ", "QOperator"), ("QInt8", "QUInt8"), (False, True)))
PAIRED = [form for form in FORMS if (form[0] == "QDQ") ^ (form[1] == "QInt8") ^ form[2]]  # every value with every other


paired = pytest.mark.parametrize("form", PAIRED, ids=lambda form: "-".join(map(str, form)))


@paired
def test_every_command(
    re2na: Command, small_model: tuple[Callable[..., Path], Path], tmp_path: Path, form: tuple[str, str, bool]
) -> None:
    """As it is and re-quantised; LeNet-5 only where the claim is accuracy."""
    given, data, requantized = small_model[0](*form), small_model[1], tmp_path / "requantized.onnx"
    before = given.read_bytes()
    rows = re2na("explain", given, "--json").json
    linear = [row for row in rows if row["op"] in ("conv2d", "dense")]
    assert len(linear) == 2
    assert {row["rule"] for row in linear} <= {"zero_points", "int8_data"}

    as_it_is = re2na("compare", given, "--data", data, "--limit", 20, "--json")
    assert as_it_is.code == 0, as_it_is.stderr
    assert as_it_is.json["offloaded_macs_share"] == 0.0
    assert as_it_is.json["bit_identical"] is True

    made = re2na("requantize", given, "--calibration", data, "--output", requantized, "--json")
    assert made.code == 0, made.stderr
    assert made.json["written"] and not made.json["exact"]

    compiled = re2na("compile", requantized, "--output", tmp_path / "requantized.re2na", "--json")
    assert compiled.code == 0, compiled.stderr
    assert compiled.json["offloaded_macs_share"] == 1.0
    compared = re2na("compare", requantized, "--data", data, "--json")
    assert compared.code == 0, compared.stderr
    assert compared.json["bit_identical"] is True
    assert compared.json["re2na"]["overflows"] == 0
    assert given.read_bytes() == before


@paired
def test_lenet5_requantized(
    re2na: Command, ort_model: Callable[..., Path], demo_data: Path, tmp_path: Path, form: tuple[str, str, bool]
) -> None:
    data, requantized = demo_data / "mnist_test1000.npz", tmp_path / "requantized.onnx"
    options = ("--calibration", demo_data / "mnist_calibration128.npz", "--data", data, "--output", requantized)
    made = re2na("requantize", ort_model(*form), *options, "--json")
    assert made.code == 0, made.stderr
    report = made.json
    assert report["written"] and not report["exact"] and not report["overflowing"]
    assert report["cost"]["images"] == 1000
    assert report["cost"]["agreement"] >= 0.99
    assert report["cost"]["requantized_top1"] >= report["cost"]["given_top1"] - 0.005
    assert report["cost"]["snr_db"] > 15
    weights = [change for change in report["changes"] if change["role"] == "weight"]
    assert len(weights) == 5
    assert [change["before"]["per_channel"] for change in weights] == [form[2]] * 5
    for change in report["changes"]:
        assert change["after"]["kind"] == "int8" and change["after"]["zero"] == [0, 0]
        assert np.log2(change["after"]["scale"][0]) % 1 == 0


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
def test_the_float_model_is_what_the_given_one_approximates(
    ort_model: Callable[..., Path], demo_data: Path, form: tuple[str, str, bool]
) -> None:
    images = load_dataset(demo_data / "mnist_test1000.npz", 200).x
    source = float_runner(onnx.load(demo_data / "lenet5_mnist.onnx"))(images)[0]
    model = dequantise(onnx.load(ort_model(*form))).model
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == {"Conv", "Clip", "MaxPool", "Flatten", "Gemm"}
    found = float_runner(model)(images)[0]
    assert 10 * np.log10((source**2).sum() / ((source - found) ** 2).sum()) > 25


def test_nothing_offloaded_is_said(
    re2na: Command, small_model: tuple[Callable[..., Path], Path], tmp_path: Path
) -> None:
    given = small_model[0]("QDQ", "QUInt8", False)
    failed = re2na("compile", given, "--output", tmp_path / "net.re2na")
    assert failed.code == 3
    step = f"`re2na requantize {given} --calibration DATA` quantises it again, with power-of-two scales\n"
    assert failed.stderr.endswith(f"no operator can be offloaded; `re2na explain` says why; {step}")
    assert re2na("explain", given).stdout.endswith(f"\n{step}")
    assert not list(tmp_path.iterdir())
    found = re2na("compare", given, "--data", small_model[1], "--limit", 5)
    assert found.code == 0
    assert "nothing is offloaded" in found.stdout


def test_the_table_and_the_comparison(
    re2na: Command, ort_model: Callable[..., Path], demo_data: Path, tmp_path: Path
) -> None:
    calibration, requantized = demo_data / "mnist_calibration128.npz", tmp_path / "requantized.onnx"
    given = ort_model("QOperator", "QUInt8", True)
    found = re2na("requantize", given, "--calibration", calibration, "-o", requantized)
    assert found.code == 0, found.stderr
    for words in ("per channel", "uint8, scale", "int8, scale 2**-", "signal to noise", "128"):
        assert words in found.stdout
    compared = re2na("compare", requantized, "--data", demo_data / "mnist_test1000.npz", "--limit", 100, "--json")
    assert compared.code == 0, compared.stderr
    assert compared.json["offloaded_macs_share"] == 1.0
    assert compared.json["bit_identical"] is True
    assert compared.json["re2na"]["overflows"] == 0
