"""The quantised networks that are raced: made once, kept as QDQ files."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.models.topologies import TOPOLOGIES, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, load_dataset, pipeline  # noqa: E402
from tvm_re2na.codegen.files import write_atomically  # noqa: E402
from tvm_re2na.quantize import QuantizeOptions, WeightRounding  # noqa: E402

NAMES = ("lenet5", "resnet18", "alexnet", "mobilenet_v2", "vgg16")
# Random weights have no accuracy to save: what the quantiser would search for is left out.
OPTIONS = QuantizeOptions(rounding=WeightRounding.NEAREST)


def model_file(folder: Path, name: str) -> Path:
    """The int8 network as a QDQ file in `folder`: made if it is not there, 3x224x224 but for the demo's LeNet-5."""
    path = folder / f"{name}.qdq.onnx"
    if not path.is_file():
        if name == "lenet5":
            with resources.as_file(resources.files("tvm_re2na.demo")) as demo:
                model = pipeline.load_model(demo / "lenet5_mnist.onnx")
                calibration = load_dataset(demo / "mnist_calibration128.npz")
        else:
            x = synthetic_images(4, 3, 224, seed=7)
            model, calibration = TOPOLOGIES[name](), Dataset("synthetic", x.shape[1:], None, 4, lambda a, b: x[a:b])
        quantized = pipeline.quantize(model, calibration, Architecture(), options=OPTIONS)
        write_atomically(path, quantized.model.SerializeToString())
    return path


def image_for(model: onnx.ModelProto) -> npt.NDArray[np.float32]:
    """One synthetic image (1, C, H, W)."""
    channels, size, _ = pipeline.model_input(model).image
    return synthetic_images(1, channels, size, seed=11)
