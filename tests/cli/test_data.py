"""Data files and folders: what is read, and what is said about those that cannot be."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_re2na import npz, pictures
from tvm_re2na.data import DataError, load_dataset
from tvm_re2na.preprocessing import Preprocessing

GOOD: dict[str, Any] = {
    "x": np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4),
    "y": np.array([1, -1]),
    "mean": np.array([0.1, 0.2, 0.3], np.float32),
    "std": np.array([0.5, 0.5, 1.0], np.float32),
}


def save(folder: Path, **changes: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **{name: value for name, value in (GOOD | changes).items() if value is not None})
    return path


def test_uint8_is_normalised(tmp_path: Path) -> None:
    data = load_dataset(save(tmp_path))
    expected = (GOOD["x"].astype(np.float32) / np.float32(255) - GOOD["mean"][:, None, None]) / GOOD["std"][
        :, None, None
    ]
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, expected)
    assert data.labelled == 1


def test_float32_is_used_as_it_is(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1, 2, 2)).astype(np.float32)
    data = load_dataset(save(tmp_path, x=x, y=None, mean=None, std=None))
    np.testing.assert_array_equal(data.x, x)
    assert data.y is None
    assert data.labelled == 0


def test_the_last_batch_is_filled_up(tmp_path: Path) -> None:
    x = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    batches = list(load_dataset(save(tmp_path, x=x, y=None)).batches(2))
    assert [(count, images.ravel().tolist()) for count, images in batches] == [(2, [0, 1]), (2, [2, 3]), (1, [4, 4])]


def test_limit(tmp_path: Path) -> None:
    data = load_dataset(save(tmp_path), limit=1)
    assert len(data) == len(data.x) == len(data.y) == 1
    with pytest.raises(DataError, match="limit 0"):
        load_dataset(save(tmp_path), limit=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "no field 'x'"),
        ({"x": np.zeros((2, 4, 4), np.uint8)}, r"x has shape 2x4x4, expected \(N, C, H, W\)"),
        ({"x": np.zeros((0, 3, 4, 4), np.uint8), "y": None}, "expected .* sizes of at least 1"),
        ({"x": np.zeros((2, 3, 4, 4))}, "x is float64, expected uint8"),
        ({"x": np.full((2, 3, 4, 4), np.nan, np.float32)}, r"x\[0\] holds NaN"),
        ({"mean": None}, "no field 'mean'"),
        ({"std": None}, "no field 'std'"),
        ({"std": np.ones(1, np.float32)}, r"std is float32 1, expected float32 \(3,\)"),
        ({"std": np.zeros(3, np.float32)}, "above 0"),
        ({"mean": np.array([np.inf, 0, 0], np.float32)}, "mean = .*finite"),
        ({"y": np.array([0.5, 1.0])}, "y is float64"),
        ({"y": np.array([1])}, r"expected integers of shape \(2,\)"),
        ({"y": np.array([1, -2])}, "y holds -2"),
        ({"y": np.array([1, 2**64 - 1], np.uint64)}, f"y holds {2**64 - 1}, expected classes 0 to {2**31 - 1}"),
        ({"x": np.array(7, np.uint8)}, "x has shape one number"),
        ({"std": np.full(3, 1e-45, np.float32)}, "make infinite numbers of the pixels"),
        ({"x": np.array([{}])}, "x is no array of plain numbers: its header is"),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


def test_foreign_files(tmp_path: Path) -> None:
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        path = tmp_path / "foreign.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match="no readable"):
            load_dataset(path)
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    with pytest.raises(DataError, match=r"x has shape 3, expected \(N, C, H, W\) or \(N, C, L\) or \(N, F\)"):
        load_dataset(array)
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"array\.npy is float64 3, which is 24 bytes; the file has 23"):
        load_dataset(array)
    with pytest.raises(FileNotFoundError):
        load_dataset(tmp_path / "missing.npz")


def write_npz(path: Path, header: str, data: bytes, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive with one field, x, whose header may say anything."""
    text = header.encode()
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data)
    return path


def header_of(shape: tuple[int, ...]) -> str:
    return f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (header_of((2**46,)), f"x is uint8 {2**46}, which is {2**46} bytes; the file has 64"),
        (header_of((0, 2**59)), "which is 0 bytes; the file has 64"),
        ("{" * 3000, "no array of plain numbers"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 3000 + ",)}", "no array of plain numbers"),
        (" " * 5000, "header of 5000 bytes, at most 4096"),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        load_dataset(write_npz(tmp_path / "data.npz", header, bytes(64)))


def test_archives_that_unpack_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 2**20
    path = write_npz(tmp_path / "data.npz", header_of((size, 1, 1, 1)), bytes(size))
    monkeypatch.setattr(npz, "ALLOWED", 2**16)
    with pytest.raises(DataError, match=r"x is 10\d{5} bytes, packed into 1\d{3}; at most 1\d{5} are read"):
        load_dataset(path)
    monkeypatch.undo()
    assert npz.read_npz(path, ["x"])["x"].shape == (size, 1, 1, 1)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_every_packing(tmp_path: Path, packing: int) -> None:
    path = write_npz(tmp_path / "data.npz", header_of((50, 1, 2, 2)), bytes(range(200)), packing)
    good = path.read_bytes()
    assert npz.read_npz(path, ["x"])["x"].ravel().tolist() == list(range(200))
    for at in (len(good) // 3, len(good) // 2):
        path.write_bytes(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :])
        with pytest.raises(DataError):
            npz.read_npz(path, ["x"])


def test_fortran_order(tmp_path: Path) -> None:
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32))
    np.testing.assert_array_equal(load_dataset(save(tmp_path, x=x)).x, x)


def test_folder_of_classes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, color in (("b_red", (255, 0, 0)), ("a_blue", (0, 0, 255))):
        (tmp_path / name).mkdir()
        for index in range(3):
            image.new("RGB", (300 + 40 * index, 280), color).save(tmp_path / name / f"{index}.png")
    (tmp_path / "a_blue" / "notes.txt").write_text("no image")
    data = load_dataset(tmp_path)
    assert data.shape == (3, 224, 224)
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(
        data.read(0, 1)[0, :, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225], rtol=1e-5
    )
    assert load_dataset(tmp_path, limit=2, image_size=64).y.tolist() == [0, 1], "spread over the classes"


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sub-folders"):
        load_dataset(tmp_path)
    (tmp_path / "class").mkdir()
    with pytest.raises(DataError, match="no images"):
        load_dataset(tmp_path)
    pytest.importorskip("PIL")
    (tmp_path / "class" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png: no readable image"):
        _ = load_dataset(tmp_path).x


def test_thin_and_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip is resized where it is looked at: all of it would be 256 x 768,000 pixels."""
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "class").mkdir()
    path = tmp_path / "class" / "strip.png"
    image.linear_gradient("L").resize((1, 3000)).save(path)
    strip = load_dataset(tmp_path).x[0, 0]
    assert strip.shape == (224, 224)
    assert np.ptp(strip) < 0.1, "three pixels of 3000 in its middle"
    monkeypatch.setattr(pictures, "MOST_PIXELS", 2999)
    with pytest.raises(DataError, match=r"strip\.png: 1x3000 pixels, at most 2999 are read"):
        _ = load_dataset(tmp_path).x


def test_pictures_are_resized_before_they_are_cropped(tmp_path: Path) -> None:
    """What is looked at is what the whole picture, resized and cropped, would show, to one step of rounding."""
    image = pytest.importorskip("PIL.Image")
    whole = image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 61, 3), dtype=np.uint8))
    whole.save(tmp_path / "picture.png")
    width, height = 73, round(90 * 73 / 61)
    left, top = (width - 64) // 2, (height - 64) // 2
    expected = whole.resize((width, height), image.Resampling.BILINEAR).crop((left, top, left + 64, top + 64))
    found = pictures.Frame.of(Preprocessing(), 3, (64, 64)).of_file(tmp_path / "picture.png").transpose(1, 2, 0)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1
