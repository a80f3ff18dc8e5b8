"""What `compare` and `explain --check` say of it, and how they end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command, quantized, re2na, small_float
from tests.opinion.test_opinion import chain
from tvm_re2na import frontends, pipeline
from tvm_re2na.opinion import opinion as module
from tvm_re2na.opinion.sections import CutModel

__all__ = ["quantized", "re2na", "small_float"]
pytestmark = [pytest.mark.usefixtures("shared"), pytest.mark.skipif(frontends.installed() is None, reason="needs TVM")]
JUDGED = {"nodes", "op", "tensor", "elements", "differing", "parting", "steps"}


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A LeakyRelu of which TVM is made to take a Relu."""
    build = module.for_cpu
    monkeypatch.setattr(module, "for_cpu", lambda *_: build(CutModel(chain()).exposed()))
    path = tmp_path / "wrong.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(chain("LeakyRelu", alpha=0.25)), path)
    return path


def test_explain_check(re2na: Command, quantized: Path, demo_data: Path) -> None:
    found = re2na(
        "explain", quantized, "--check", "--data", demo_data / "mnist_test1000.npz", "--check-images", 2, "--json"
    )
    assert found.code == 0, found.stderr
    assert found.json.keys() == {"operators", "second_opinion", "judged"}
    assert found.json["second_opinion"] == {"images": 2, "operators": 9, "agrees": True, "parting": []}
    assert all(row.keys() == JUDGED for row in found.json["judged"])
    linear = {row["name"] for row in found.json["operators"] if row["op"] in ("conv2d", "dense")}
    assert linear <= {name for row in found.json["judged"] for name in row["nodes"]}, "called the same"


@pytest.mark.parametrize("words", [("--check-images", 3), ("--data", "images.npz")])
def test_what_is_for_check_alone(re2na: Command, quantized: Path, words: tuple[object, ...]) -> None:
    found = re2na("explain", quantized, *words)
    assert (found.code, found.stdout) == (2, "")
    assert found.stderr == f"re2na: error: {words[0]}: is for --check, which is not given\n"


def test_explain_check_without_images(re2na: Command, wrong: Path) -> None:
    """On noise; the operator is named, and the exit code tells."""
    found = re2na("explain", wrong, "--check")
    assert found.code == 1, found.stderr
    table = found.stdout.split("by more than ties at 1 of 5 operators (4 images)")[1]
    assert "leakyrelu_14" in table and "conv" not in table


def test_compare_json_names_the_operator(re2na: Command, wrong: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=module.random_images(pipeline.load_model(wrong), 3))
    found = re2na("compare", wrong, "--data", tmp_path / "x.npz", "--json")
    assert found.code == 1
    (operator,) = found.json["second_opinion"]["parting"]
    assert operator.keys() == JUDGED
    assert (operator["nodes"], operator["op"]) == (["leakyrelu_14"], "LeakyRelu")
    assert operator["steps"] > 10
    none = re2na("compare", wrong, "--data", tmp_path / "x.npz", "--check-images", 0, "--json")
    assert none.json["second_opinion"] is None
    assert none.code == (0 if none.json["bit_identical"] else 1)


def test_compare_says_it_in_one_line(re2na: Command, small_float: tuple[Path, Path]) -> None:
    model, data = small_float
    found = re2na("compare", model, "--data", data, "--calibration", data, "--calibration-limit", 32, "--limit", 3)
    assert found.code == 0, found.stderr
    assert "ONNX Runtime agrees at all" in found.stdout and "(3 images)" in found.stdout
    assert "int8, ONNX Runtime" in found.stdout


def test_none_can_be_had(wrong: Path) -> None:
    """Where there can be none, a warning says why."""
    with pytest.warns(UserWarning, match="no second opinion: model 'g': .* alone"):
        model = onnx.ModelProto()
        model.graph.name = "g"
        assert module.opinion_if_any(model, module.random_images(onnx.load(wrong), 1)) is None
