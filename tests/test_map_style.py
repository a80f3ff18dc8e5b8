"""Map-style datasets, as torchvision and Hugging Face have them, wherever data is taken in Python."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.cli.pictures import Listed, save_npz
from tests.quantize.networks import FloatNet
from tvm_re2na import Architecture, compare, explore, frontends, load_dataset, pipeline, simulate
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataError
from tvm_re2na.preprocessing import Preprocessing, stored
from tvm_re2na.survey import survey_bits

RNG = np.random.default_rng(1)
X, Y = RNG.integers(0, 256, (12, 3, 8, 8), np.uint8), np.arange(12) % 4
HOW = Preprocessing(mean=0.25, std=0.5)


class Columns(Listed):
    """Dictionaries and columns, as Hugging Face's."""

    column_names = ("image", "label")

    def __getitem__(self, index: Any) -> Any:
        if index == "label":
            return self.labels
        self.opened += 1
        return {"image": self.images[index], "label": self.labels[index]}


class Targets(Listed):
    """As torchvision's."""

    @property
    def targets(self) -> Any:
        return self.labels


@pytest.mark.parametrize("kind", [Listed, Columns, Targets])
def test_every_kind_of_item(kind: type[Listed]) -> None:
    source = kind(X, Y.tolist())
    data = load_dataset(source, 6, (3, 8, 8), HOW)
    assert data.y is not None and data.y.tolist() == Y[::2].tolist(), "spread evenly"
    assert source.opened <= (7 if kind is Listed else 1), "columns of labels spare the images"
    np.testing.assert_array_equal(data.read(2, 4), ((X.astype(np.float32) / np.float32(255) - 0.25) / 0.5)[[4, 6]])
    assert data.source == kind.__name__


def test_images_alone_and_floats() -> None:
    floats = RNG.normal(size=(3, 3, 8, 8))
    data = load_dataset([np.float32(image) for image in floats], image_size=8)
    np.testing.assert_array_equal(data.x, np.float32(floats))
    assert data.y is None and not data.preprocessing.said()
    assert load_dataset(Listed(X, [None] * 12), None, (3, 8, 8), HOW).y is None
    mixed = load_dataset(Listed(X, [None, 1] * 6), None, (3, 8, 8), HOW)
    assert mixed.y is not None and mixed.labelled == 6


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"image": 1}, "dict: no data: expected a path"),
        (np.zeros((1, 3, 8, 8)), "ndarray: no data"),
        (7, "int: no data"),
        ([], "list: no items"),
        (Listed(X, ["cat"] * 12), r"Listed\[0\]: label 'cat', expected a class"),
        (Listed(X, [0, -2] * 6), r"Listed\[1\]: label -2"),
        (Listed(X, [0.5] * 12), r"Listed\[0\]: label 0.5"),
        ([(X[0], 1, 2)], r"list\[0\]: 3 things, expected \(image, label\)"),
        ([{"picture": X[0]}], r"list\[0\]: a dictionary of picture, expected image and label"),
        (["text"], r"list\[0\]: str of <U4, expected a picture"),
        ([np.zeros((2, 2, 2, 2), np.uint8)], "an array of 2x2x2x2, expected"),
        ([np.zeros((5, 6, 7), np.uint8)], "layout says which axis is the channels'"),
        ([np.full((3, 8, 8), np.nan)], r"list\[0\]: holds NaN"),
        ([X[0], X[0].astype(float)], r"list\[1\]: float32 3x8x8, the first is uint8 3x8x8"),
    ],
)
def test_what_is_none(source: Any, message: str) -> None:
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        warnings.simplefilter("ignore")
        _ = load_dataset(source, image_size=8).x


def test_floats_are_not_preprocessed() -> None:
    with pytest.raises(DataError, match=r"mean = 0\.25 is for pixels"):
        load_dataset(Listed(X.astype(float), Y), image_size=8, preprocessing=HOW)


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
def test_wherever_data_is_taken(tmp_path: Path) -> None:
    net = FloatNet(size=8)
    model = net.build(net.gemm(net.add("Flatten", net.conv("input", 3, 2)), 2 * 36, 4))
    file = save_npz(tmp_path / "x.npz", X, Y, mean=[0.25] * 3, std=[0.5] * 3)
    listed = Listed(X, Y)
    assert compare(model, listed, listed, preprocessing=HOW) == compare(model, file, file)
    assert compare(model, listed, file) == compare(model, file, file), "as the calibration images"
    data = load_dataset(listed, None, (3, 8, 8), HOW)
    assert survey_bits(model, listed, data, widths=(8,)) == survey_bits(model, data, data, widths=(8,))
    with pytest.warns(UserWarning, match="Listed: mean = .* of ImageNet assumed"):
        found = explore(model, {"mac_interval": [1]}, calibration=listed, jobs=1)
    assert not found.rows[0]["error"]
    quantized = pipeline.quantize(model, data, Architecture()).model
    assert stored(quantized) == HOW
    assert compare(quantized, listed) == compare(quantized, file)
    assert simulate(_program(quantized), listed).outputs.keys() == simulate(_program(quantized), file).outputs.keys()
    one, other = (simulate(_program(quantized), source) for source in (listed, file))
    assert one.figures == other.figures


def _program(quantized: onnx.ModelProto) -> Program:
    mod, params = pipeline.import_into_tvm(quantized)
    ((_, program),) = pipeline.compile_for_re2na(mod, params, Architecture()).programs
    program.meta.update(pipeline.border_notes(quantized))
    return program
