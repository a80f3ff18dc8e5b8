"""Data files and folders: what is read, and what is said about those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_re2na.data import DataError, load_dataset

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
    with pytest.raises(DataError, match="single array"):
        load_dataset(array)
    with pytest.raises(FileNotFoundError):
        load_dataset(tmp_path / "missing.npz")


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
