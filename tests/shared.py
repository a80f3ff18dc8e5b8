"""Networks that several tests need: quantised and built once, for all processes of one test run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from filelock import FileLock

from tvm_re2na import pipeline
from tvm_re2na.artefacts import Artefact, artefacts
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import load_dataset
from tvm_re2na.dataset import Dataset


@dataclass(frozen=True)
class Network:
    """`model` in float, quantised with `calibration`, and built for the CPU and for Re²Na at batch 1."""

    model: onnx.ModelProto
    calibration: Dataset
    quantized: onnx.ModelProto
    cpu: Artefact
    re2na: Artefact


@dataclass(frozen=True)
class Networks:
    """Whoever asks first quantises and builds; whoever asks meanwhile waits, and everybody else finds it in `folder`."""

    folder: Path

    def fashion(self, data: Path, name: str) -> Network:
        """resnet18 or alexnet."""
        return self._made(data / f"{name}_fmnist64.onnx", data / "fmnist64_calib512.npz", 128)

    def efficientnet(self, data: Path) -> Network:
        return self._made(data / "efficientnet_lite0_imagenet.onnx", data / "photos224.npz", 16)

    def _made(self, model: Path, calibration: Path, images: int) -> Network:
        proto, known = pipeline.load_model(model), load_dataset(calibration, images)
        with FileLock(self.folder / f"{model.stem}.lock"):
            quantized = pipeline.quantized_model(proto, known, Architecture())
            return Network(proto, known, quantized, *artefacts(quantized, Architecture()))


def folder_of_this_run(factory: pytest.TempPathFactory) -> Path:
    """New in every run, and one for all its workers."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
