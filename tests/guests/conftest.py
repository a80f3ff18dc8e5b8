"""The command of tests/cli, and LeNet-5 quantised by ONNX Runtime in every form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime.quantization as ort
import pytest

from tests.cli.conftest import re2na
from tvm_re2na import load_dataset

__all__ = ["re2na"]


class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: np.ndarray) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {"input": image[None]}


@pytest.fixture(scope="session")
def ort_guest(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """LeNet-5, statically quantised by ONNX Runtime: QDQ or QOperator, int8 or uint8, per tensor or per channel."""
    folder = tmp_path_factory.mktemp("ort")
    images = load_dataset(demo_data / "mnist_calibration128.npz").x[:32]

    def make(form: str, activations: str, per_channel: bool) -> Path:
        path = folder / f"{form}_{activations}_{per_channel}.onnx"
        if not path.exists():
            options = {"activation_type": ort.QuantType[activations], "weight_type": ort.QuantType.QInt8}
            source, reader = demo_data / "lenet5_mnist.onnx", Reader(images)
            ort.quantize_static(
                source, path, reader, quant_format=ort.QuantFormat[form], per_channel=per_channel, **options
            )
        return path

    return make
