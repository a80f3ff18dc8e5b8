"""The two rooms make the same program of the same model; Relax, which keeps no names of the source, numbers its operators."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.models.topologies import TOPOLOGIES, synthetic_images
from tvm_re2na import Architecture, Dataset, Program, load_dataset, pipeline

WITH_RELAY = "-m", "tvm_re2na.cli", "compile"


@pytest.fixture(scope="module")
def relay_python() -> str:
    """An interpreter whose environment holds TVM 0.19; `make test` names that of the other lane."""
    python = os.environ.get("RE2NA_RELAY_PYTHON")
    if not python:
        pytest.skip("set RE2NA_RELAY_PYTHON to a Python with tvm_re2na[relay]")
    return python


def demo_lenet5(folder: Path) -> onnx.ModelProto:
    calibration = load_dataset(folder / "mnist_calibration128.npz", 32)
    return pipeline.quantized_model(pipeline.load_model(folder / "lenet5_mnist.onnx"), calibration, Architecture())


def full_size(name: str) -> onnx.ModelProto:
    x = synthetic_images(2, 3, 224, seed=1)
    calibration = Dataset("synthetic", (3, 224, 224), None, 2, lambda start, stop: x[start:stop])
    return pipeline.quantized_model(TOPOLOGIES[name](), calibration, Architecture())


def without_names(program: Program) -> bytes:
    """The program's bytes, its operators and tensors numbered."""
    sources = tuple(replace(source, name=str(index)) for index, source in enumerate(program.sources))
    inputs, outputs = (
        tuple(replace(tensor, name=f"{side}{index}") for index, tensor in enumerate(tensors))
        for side, tensors in (("input", program.inputs), ("output", program.outputs))
    )
    return replace(program, sources=sources, inputs=inputs, outputs=outputs).to_bytes()


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "alexnet"])
def test_same_program(name: str, relay_python: str, demo_data: Path, tmp_path: Path) -> None:
    model = demo_lenet5(demo_data) if name == "lenet5" else full_size(name)
    onnx.save(model, tmp_path / "net.onnx")
    output = ("--output", str(tmp_path / "relay.re2na"))
    command = [relay_python, *WITH_RELAY, str(tmp_path / "net.onnx"), *output]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    relay = Program.open(tmp_path / "relay.re2na")
    mod, params = pipeline.import_into_tvm(model)
    built = pipeline.build_for_re2na(mod, params, Architecture())
    ((symbol, relax),) = built.programs
    assert symbol == "tvmgen_default_re2na_main_0"
    assert relax.instructions == relay.instructions
    assert relax.constants == relay.constants
    assert len(np.unique(np.frombuffer(relax.constants, np.int8))) > 10
    assert without_names(replace(relax, meta={})) == without_names(replace(relay, meta={}))
