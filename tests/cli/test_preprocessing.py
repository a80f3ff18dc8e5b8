"""What pixels go through: the same for folders, files and map-style datasets, and the same as calibration's by default."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tests.cli.pictures import RNG, Listed, save_folder, save_npz
from tests.docs.pages import ROOT
from tests.quantize.networks import FloatNet
from tvm_re2na import load_dataset
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataError
from tvm_re2na.preprocessing import KEY, Preprocessing, PreprocessingError, store, stored
from tvm_re2na.preprocessing_options import OPTIONS

pytest.importorskip("PIL")

COLOUR = RNG.integers(0, 256, (6, 3, 40, 30), np.uint8)
GREY = RNG.integers(0, 256, (6, 1, 28, 28), np.uint8)
MNIST = Preprocessing(mean=(0.1307,), std=(0.3081,))


# ---- the dataclass


def test_the_command_and_the_documentation_have_every_field() -> None:
    fields = set(Preprocessing.__dataclass_fields__)
    assert fields == set(OPTIONS)
    text = (ROOT / "docs" / "cli.md").read_text()
    assert all(f"| `--{name}" in text for name in fields)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mean", "a", "mean: 'a' is no number"),
        ("mean", "nan", "mean = .*finite numbers"),
        ("std", "0", "std = .*above 0"),
        ("std", "1e-60", "std = .*above 0"),
        ("std", "0.5,,1", "'' is no number"),
        ("resize", "12x", "'12x' is no size"),
        ("resize", "0", "resize = .*from 1 to 16384"),
        ("crop", "16385x3", "crop = .*from 1 to 16384"),
        ("layout", "hwc", "layout = 'hwc', expected nchw or nhwc"),
    ],
)
def test_values_that_cannot_be(name: str, text: str, message: str) -> None:
    with pytest.raises(PreprocessingError, match=message):
        Preprocessing.read(name, text)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"mean": "x"}', '{"mean": []}', '{"gray": 1}', '{"size": 3}', "[" * 10**5, '{"std": [true]}', 7],
)
def test_damaged_notes(text: object) -> None:
    with pytest.raises(PreprocessingError):
        Preprocessing.from_text(text)


def test_notes_are_read_as_they_were_written() -> None:
    how = Preprocessing((0.1, 0.2, 0.3), (1 / 3,), (32,), (28, 24), gray=True, layout="nhwc")
    model = FloatNet().build("input")
    store(model, how)
    store(model, how)
    assert stored(model) == how.of_network()
    assert [item.key for item in model.metadata_props] == [KEY]
    store(model, Preprocessing())
    assert stored(model) is None


def test_one_number_stands_for_every_channel_and_float32_is_what_counts() -> None:
    three = Preprocessing(mean=tuple(np.full(3, 0.1307, np.float32).tolist()))
    assert not list(MNIST.differences(three))
    assert list(Preprocessing(mean=(0.5,)).differences(three)) == [("mean", "0.5", "0.1307,0.1307,0.1307")]


# ---- the same pixels give the same numbers


@pytest.mark.parametrize(
    ("how", "shape"),
    [
        (Preprocessing((0.4, 0.5, 0.6), (0.2,)), (3, 40, 30)),
        (Preprocessing(0.5, 0.5, resize=(24,)), (3, 40, 30)),
        (Preprocessing(0.5, 0.5, resize=(48, 36), crop=(40, 30)), (3, 40, 30)),
        (Preprocessing(0.5, 0.5, resize=(20, 25)), (3, 20, 25)),
        (Preprocessing(0.5, 0.5, crop=20), (3, 20, 20)),
        (Preprocessing(0.5, 0.5, gray=True), (1, 40, 30)),
        (Preprocessing(0.5, 0.5, resize=(64,), crop=(32,), gray=True), (1, 32, 32)),
    ],
)
def test_folder_file_and_map_style_are_equal(tmp_path: Path, how: Preprocessing, shape: tuple[int, ...]) -> None:
    network = (3, 40, 30) if how.resize != (24,) else (3, 24, 20)
    shape = network if how.resize == (24,) else shape
    y = [0, 0, 0, 1, 1, 1]
    sources = [
        save_folder(tmp_path / "folder", COLOUR, y),
        save_npz(tmp_path / "x.npz", COLOUR, y),
        Listed(COLOUR.transpose(0, 2, 3, 1), y),
        Listed(COLOUR, y),
        Listed.of_pictures(COLOUR, y),
    ]
    found = [load_dataset(source, None, network, how) for source in sources]
    last = save_npz(tmp_path / "last.npz", COLOUR.transpose(0, 2, 3, 1), y)
    found.append(load_dataset(last, None, network, Preprocessing(layout="nhwc").over(how)))
    for data in found:
        assert data.shape == shape
        np.testing.assert_array_equal(data.x, found[0].x)
        assert data.y is not None and data.y.tolist() == y
        assert data.preprocessing == found[0].preprocessing
        assert data.x.flags.c_contiguous


def test_pictures_of_the_networks_size_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "folder", GREY, [0] * 6)
    expected = (GREY.astype(np.float32) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    np.testing.assert_array_equal(load_dataset(folder, None, (1, 28, 28), MNIST).x, expected)


def test_grey_and_coloured_pictures(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "folder", COLOUR, [0] * 6)
    with pytest.raises(DataError, match=r"0\.png: a picture in colour \(RGB\), one channel was expected; --gray"):
        _ = load_dataset(folder, None, (1, 40, 30), MNIST).x
    made = load_dataset(folder, None, (1, 40, 30), Preprocessing(gray=True).over(MNIST)).x
    luma = np.einsum("nchw,c->nhw", COLOUR.astype(float), [0.299, 0.587, 0.114])[:, None]
    assert np.abs(made * 0.3081 + 0.1307 - luma / 255).max() < 1.01 / 255
    grey = save_folder(tmp_path / "grey", GREY, [0] * 6)
    coloured = load_dataset(grey, None, (3, 28, 28), MNIST).x
    np.testing.assert_array_equal(coloured[:, 0], coloured[:, 2])


def test_pictures_of_16_bits(tmp_path: Path) -> None:
    from PIL import Image

    values = np.array([[0, 255, 256, 32768], [65535, 300, 65280, 511]], np.uint16)
    (tmp_path / "class").mkdir()
    Image.fromarray(values).save(tmp_path / "class" / "deep.png")
    for channels in (1, 3):
        found = load_dataset(tmp_path, None, (channels, 2, 4), Preprocessing(0, 1)).x[0]
        np.testing.assert_array_equal(found, np.broadcast_to((values >> 8) / np.float32(255), found.shape))


def test_numbers_at_the_ends_of_float32(tmp_path: Path) -> None:
    """A file says what it wants, or is refused by its name."""
    x = np.zeros((1, 5000, 1, 1), np.uint8)
    data = load_dataset(save_npz(tmp_path / "x.npz", x, [0], mean=[3.4e38] * 5000, std=[1] * 5000))
    assert data.x.min() < -3e38
    small = save_npz(tmp_path / "small.npz", x[:, :1], [0], mean=[0.5], std=[1.5e-45])
    with pytest.raises(DataError, match=r"small\.npz: mean = .* make infinite numbers"):
        load_dataset(small)


def test_what_cannot_be_done(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "folder", COLOUR, [0] * 6)
    with pytest.raises(DataError, match=r"0\.png: crop = 50x50, the picture is 40x30"):
        _ = load_dataset(folder, None, (3, 50, 50), Preprocessing(0, 1, crop=50)).x
    with pytest.raises(DataError, match=r"folder: mean = 0.1,0.2 has 2 numbers, the images 3 channels"):
        load_dataset(folder, None, (3, 40, 30), Preprocessing((0.1, 0.2), 1))
    np.savez(tmp_path / "floats.npz", x=np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(DataError, match=r"floats\.npz: std = 0.5 is for pixels \(uint8\); x is float32"):
        load_dataset(tmp_path / "floats.npz", preprocessing=Preprocessing(std=0.5))
    four = save_npz(tmp_path / "four.npz", np.zeros((1, 4, 4, 4), np.uint8), [0])
    with pytest.raises(DataError, match=r"x\[0\]: 4 channels, pictures are resized"):
        _ = load_dataset(four, None, (4, 2, 2), Preprocessing(0, 1, resize=2)).x


# ---- who says what


def test_who_comes_first(tmp_path: Path) -> None:
    x = np.full((1, 1, 2, 2), 255, np.uint8)
    own = save_npz(tmp_path / "own.npz", x, [0], mean=[0.5], std=[1])
    bare = save_npz(tmp_path / "bare.npz", x, [0])

    def value(path: Path, *how: Preprocessing | None) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(load_dataset(path, None, (1, 2, 2), how[0], calibrated=how[1]).x[0, 0, 0, 0])

    given, known = Preprocessing(mean=0.25), Preprocessing(0.75, 1)
    assert value(own, None, None) == value(own, None, known) == 0.5, "the file, before what calibration used"
    assert value(own, given, None) == value(bare, given, known) == 0.75
    assert value(bare, None, known) == 0.25
    with pytest.raises(DataError, match="no field 'std', expected one number per channel"):
        value(bare, given, None)
    with pytest.warns(UserWarning, match=r"own\.npz: mean = 0.25 is used; the file says 0.5"):
        load_dataset(own, None, (1, 2, 2), given)
    with pytest.warns(UserWarning, match=r"bare\.npz: mean = 0.25 is used; the network was calibrated with 0.75"):
        load_dataset(bare, None, (1, 2, 2), given, calibrated=known)


def test_a_file_of_the_networks_size_is_not_resized_like_calibration(tmp_path: Path) -> None:
    known = Preprocessing(0, 1, resize=32, crop=28)
    fitting = save_npz(tmp_path / "28.npz", GREY, [0] * 6)
    np.testing.assert_array_equal(load_dataset(fitting, None, (1, 28, 28), calibrated=known).x, GREY / np.float32(255))
    other = save_npz(tmp_path / "40.npz", np.zeros((1, 1, 40, 40), np.uint8), [0])
    assert load_dataset(other, None, (1, 28, 28), calibrated=known).x.shape == (1, 1, 28, 28)


# ---- through the commands


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A network of one channel and 3 classes, with a folder of grey pictures and the npz of them."""
    net = FloatNet(channels=1, size=8)
    onnx.save(net.build(net.gemm(net.add("Flatten", net.conv("input", 1, 2)), 2 * 36, 3)), tmp_path / "net.onnx")
    x, y = RNG.integers(0, 256, (12, 1, 8, 8), np.uint8), np.arange(12) // 4
    save_folder(tmp_path / "folder", x, y)
    save_npz(tmp_path / "x.npz", x, y, mean=[0.25], std=[0.5])
    return tmp_path


MEAN_STD = ("--mean", 0.25, "--std", 0.5)


def test_what_calibration_used_is_used_again(re2na: Command, net: Path) -> None:
    def quantize(data: str, *options: object) -> onnx.ModelProto:
        found = re2na("quantize", net / "net.onnx", "--calibration", net / data, "-o", net / "q.onnx", *options)
        assert (found.code, found.stderr) == (0, "")
        return onnx.load(net / "q.onnx")

    assert quantize("folder", *MEAN_STD) == quantize("x.npz")
    assert stored(onnx.load(net / "q.onnx")) == Preprocessing(0.25, 0.5)
    assert re2na("compile", net / "q.onnx", "-o", net / "q.re2na").code == 0
    assert Program.open(net / "q.re2na").meta["preprocessing"] == '{"mean": [0.25], "std": [0.5]}'
    for command, file in (("compare", "q.onnx"), ("run", "q.re2na")):
        runs = [re2na(command, net / file, "--data", net / data, "--json") for data in ("folder", "x.npz")]
        assert [run.stderr for run in runs] == ["", ""]
        assert runs[0].json == runs[1].json
        other = re2na(command, net / file, "--data", net / "folder", "--mean", 0.1, "--json")
        assert other.code == 0
        assert (
            "warning: " in other.stderr and "mean = 0.1 is used; the network was calibrated with 0.25" in other.stderr
        )
    floating = [
        re2na("compare", net / "net.onnx", "--calibration", net / "x.npz", "--data", net / data, "--json")
        for data in ("folder", "x.npz")
    ]
    assert floating[0].json == floating[1].json, "images are like those of this very command's calibration"


def test_an_assumption_is_said_once(re2na: Command, net: Path) -> None:
    folder = net / "folder"
    found = re2na("compare", net / "net.onnx", "--calibration", folder, "--data", folder, "--limit", 5)
    assert found.code == 0
    assert found.stderr == (
        f"re2na: warning: {folder}: mean = 0.449 and std = 0.226 of ImageNet assumed;"
        " --mean and --std say what the network was trained with\n"
    )


def test_damaged_notes_of_files(re2na: Command, net: Path) -> None:
    re2na("quantize", net / "net.onnx", "--calibration", net / "x.npz", "-o", net / "q.onnx")
    re2na("compile", net / "q.onnx", "-o", net / "q.re2na")
    model, program = onnx.load(net / "q.onnx"), Program.open(net / "q.re2na")
    model.metadata_props[0].value = "{}}"
    onnx.save(model, net / "q.onnx")
    program.meta["preprocessing"] = {"mean": math.pi}
    program.save(net / "q.re2na")
    for command, file in (("compare", "q.onnx"), ("run", "q.re2na")):
        found = re2na(command, net / file, "--data", net / "folder")
        assert found.code == 2
        assert f"re2na: error: {net / file}: " in found.stderr and "preprocessing is" in found.stderr


@pytest.mark.parametrize(("option", "value"), [("--mean", "x"), ("--std", "0"), ("--resize", "0"), ("--crop", "1x2x3")])
def test_options_that_cannot_be(re2na: Command, net: Path, option: str, value: str) -> None:
    found = re2na("quantize", net / "net.onnx", "--calibration", net / "folder", option, value)
    assert found.code == 2
    assert f"argument {option}: " in found.stderr


def test_labels_are_looked_at_before_anything_is_built(
    re2na: Command, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    re2na("quantize", net / "net.onnx", "--calibration", net / "x.npz", "-o", net / "q.onnx")
    re2na("compile", net / "q.onnx", "-o", net / "q.re2na")
    wrong = save_npz(net / "wrong.npz", np.zeros((3, 1, 8, 8), np.uint8), [0, 2, 3], mean=[0], std=[1])
    monkeypatch.setattr("tvm_re2na.pipeline.import_into_tvm", None)
    monkeypatch.setattr("tvm_re2na.pipeline.quantize", None)
    known = ("--calibration", net / "x.npz")
    commands: list[tuple[Any, ...]] = [
        ("compare", net / "q.onnx"),
        ("compare", net / "net.onnx", *known),
        ("run", net / "q.re2na"),
        ("survey", "bits", net / "net.onnx", *known),
        ("requantize", net / "q.onnx", *known),
    ]
    for command in commands:
        found = re2na(*command, "--data", wrong)
        assert (found.code, found.stderr) == (
            2,
            f"re2na: error: {wrong}: y[2] holds class 3, the network tells 3 classes apart (0 to 2)\n",
        )


def test_no_pillow(re2na: Command, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    found = re2na("quantize", net / "net.onnx", "--calibration", net / "folder", *MEAN_STD)
    assert found.code == 4
    assert found.stderr == f"re2na: error: {net / 'folder'}: pictures need Pillow: pip install 'tvm_re2na[images]'\n"
