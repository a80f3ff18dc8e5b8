"""QONNX becomes standard ONNX to the bit, and is offloaded as it is where it is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tests.prequantized.qonnx_network import qonnx_network
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.evaluate import float_runner
from tvm_re2na.prequantized import PrequantizedError, requantize, to_qdq

FORMS = [
    {},
    {"bits": 4},
    {"bits": 4, "narrow": 1},
    {"bits": 3, "signed": 0},
    {"signed": 0, "scale": 0.013},
    {"bits": 6, "scale": 0.0371},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_same_numbers_as_qonnx(form: dict[str, float]) -> None:
    execution = pytest.importorskip("qonnx.core.onnx_exec")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes")
    given = qonnx_network(**form)
    x = np.random.default_rng(2).normal(size=(1, 2, 6, 6)).astype(np.float32)
    expected = execution.execute_onnx(wrapper.ModelWrapper(given).transform(shapes.InferShapes()), {"input": x})[
        "output"
    ]
    standard = to_qdq(given)
    onnx.checker.check_model(standard, full_check=True)
    np.testing.assert_array_equal(float_runner(standard)(x)[0], expected)
    assert len(np.unique(expected)) > 3


def test_exact_is_offloaded_as_it_is(re2na: Command, tmp_path: Path) -> None:
    onnx.save(qonnx_network(), tmp_path / "net.onnx")
    rows = re2na("explain", tmp_path / "net.onnx", "--json").json
    assert [row["offloaded"] for row in rows if row["op"] == "conv2d"] == [True]
    images = np.random.default_rng(2).normal(size=(20, 2, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=images)
    found = re2na("compare", tmp_path / "net.onnx", "--data", tmp_path / "data.npz", "--json").json
    assert found["bit_identical"] is True
    assert found["offloaded_macs_share"] == 1.0
    given = (tmp_path / "net.onnx").read_bytes()
    arguments = ("--calibration", tmp_path / "data.npz", "--output", tmp_path / "requantized.onnx")
    made = re2na("requantize", tmp_path / "net.onnx", *arguments)
    assert made.code == 0, made.stderr
    assert "exact on this machine as it is" in made.stdout
    assert not (tmp_path / "requantized.onnx").exists()
    assert (tmp_path / "net.onnx").read_bytes() == given


def test_four_bits_on_a_four_bit_machine() -> None:
    images = np.random.default_rng(2).normal(size=(8, 2, 6, 6)).astype(np.float32)
    given = qonnx_network(bits=4, scale=2**-3)
    assert requantize(given, images).report.exact
    assert not requantize(given, images, arch=Architecture(data_bits=4)).report.exact  # its weights have 8


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"bits": 12}, "q_out: int16 data, expected at most 8 bits"),
        ({"rounding_mode": "FLOOR"}, "rounding_mode FLOOR"),
        ({"scale": 0.0}, "scale 0.0"),
    ],
)
def test_what_has_no_form_is_named(re2na: Command, tmp_path: Path, form: dict[str, object], words: str) -> None:
    given = qonnx_network(**form)
    with pytest.raises(PrequantizedError, match=words):
        to_qdq(given)
    onnx.save(given, tmp_path / "net.onnx")
    found = re2na("explain", tmp_path / "net.onnx")
    assert found.code == 2
    assert words in found.stderr
