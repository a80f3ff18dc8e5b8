"""The command of tests/cli, and networks quantised by ONNX Runtime in every form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization as ort
import pytest

from tests.cli.conftest import re2na
from tests.quantize.networks import FloatNet
from tvm_re2na import load_dataset

__all__ = ["re2na"]


class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: np.ndarray) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {"input": image[None]}


def quantised(source: Path, images: np.ndarray, form: tuple[str, str, bool], path: Path) -> Path:
    """By ONNX Runtime, statically: (QDQ or QOperator, int8 or uint8, per channel or per tensor). Made once."""
    kind, activations, per_channel = form
    if not path.exists():
        options = {"activation_type": ort.QuantType[activations], "weight_type": ort.QuantType.QInt8}
        quant = {"quant_format": ort.QuantFormat[kind], "per_channel": per_channel}
        ort.quantize_static(source, path, Reader(images), **quant, **options)
    return path


@pytest.fixture(scope="session")
def ort_model(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """LeNet-5, quantised by ONNX Runtime in a form."""
    folder = tmp_path_factory.mktemp("ort")
    images = load_dataset(demo_data / "mnist_calibration128.npz").x[:32]
    source = demo_data / "lenet5_mnist.onnx"
    return lambda *form: quantised(source, images, form, folder / f"{'_'.join(map(str, form))}.onnx")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[..., Path], Path]:
    """The same of a convolution and a dense layer, which TVM is quicker with; and its images."""
    folder = tmp_path_factory.mktemp("small_ort")
    net, source, data = FloatNet(), folder / "small.onnx", folder / "images.npz"
    x = net.add("MaxPool", net.add("Relu", net.conv("input", 3, 6)), kernel_shape=[2, 2], strides=[2, 2])
    onnx.save(net.build(net.gemm(net.add("Flatten", x), 150, 5)), source)
    images = net.images(64)
    np.savez(data, x=images)
    return lambda *form: quantised(source, images, form, folder / f"{'_'.join(map(str, form))}.onnx"), data
