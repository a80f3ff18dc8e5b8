"""Test and calibration images: an `.npz` file, or a folder with one sub-folder per class. Nothing of TVM or ONNX here.

A data file holds

    x           uint8 (N, C, H, W), read as (x / 255 - mean) / std; or float32 (N, C, H, W), used as it is
    mean, std   float32 (C,), needed with uint8
    y           integers (N,): the class of each image, -1 where it is not known; may be left out

Images are converted to float32 piece by piece, so that a large uint8 file stays as small in memory as it is.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.npz import DataError, Fields, field_names, read_npz

FloatArray: TypeAlias = npt.NDArray[np.float32]
LabelArray: TypeAlias = npt.NDArray[np.int64]

UNKNOWN = -1  # the label of an image whose class is not known
LAST_CLASS = 2**31 - 1
MOST_PIXELS = 2**26  # of a picture: 256 MiB when it is decoded
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with or without labels; `read(start, stop)` yields them as float32 (n, C, H, W), ready for the network."""

    source: str
    shape: tuple[int, int, int]
    y: LabelArray | None
    count: int
    read: Callable[[int, int], FloatArray]

    def __len__(self) -> int:
        return self.count

    @property
    def x(self) -> FloatArray:
        """All images at once, float32 (N, C, H, W)."""
        return self.read(0, self.count)

    @property
    def labelled(self) -> int:
        """How many images have a known class."""
        return 0 if self.y is None else int((self.y != UNKNOWN).sum())

    def batches(self, size: int) -> Iterator[tuple[int, FloatArray]]:
        """(images that count, float32 (size, C, H, W)): the last batch is filled up by repeating its last image."""
        for start in range(0, self.count, size):
            images = self.read(start, min(start + size, self.count))
            missing = size - len(images)
            yield len(images), np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images

    def expect_shape(self, shape: tuple[int, ...]) -> None:
        """Raise DataError unless one image has the (C, H, W) that the network takes."""
        if self.shape != tuple(shape):
            raise DataError(f"{self.source}: x holds images of {_text(self.shape)}, the network takes {_text(shape)}")


# What a Dataset reads from; other processes get it pickled.


@dataclass(frozen=True, eq=False)
class _Floats:
    x: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        return self.x[start:stop]


@dataclass(frozen=True, eq=False)
class _Pixels:
    x: npt.NDArray[Any]
    mean: FloatArray
    std: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        return _normalise(self.x[start:stop], self.mean, self.std)


@dataclass(frozen=True, eq=False)
class _Files:
    files: list[Path]
    size: int
    mean: FloatArray
    std: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        pixels = np.stack([_decode(file, self.size) for file in self.files[start:stop]])
        return _normalise(pixels, self.mean, self.std)


def in_memory(source: str, x: FloatArray, y: LabelArray | None) -> Dataset:
    """Images (N, C, H, W) that are there already."""
    return Dataset(source, x.shape[1:], y, len(x), _Floats(x))


def load_dataset(path: str | os.PathLike[str], limit: int | None = None, image_size: int | None = None) -> Dataset:
    """Read an `.npz` file or a folder of classes; at most `limit` images of it.

    The first `limit` images of a file, and `limit` images spread evenly over the classes of a folder. Images of a
    folder are resized (shorter side to 256/224 of `image_size`, default 224), cropped in the centre and normalised as
    for ImageNet.
    Raises DataError for anything that cannot be used, OSError if it cannot be read.
    """
    if limit is not None and limit < 1:
        raise DataError(f"{path}: limit {limit}, expected at least 1 image")
    if Path(path).is_dir():
        return _load_folder(Path(path), limit, image_size or 224)
    return _load_npz(Path(path), limit)


def _load_npz(path: Path, limit: int | None) -> Dataset:
    fields = read_npz(path, ("x", "y", "mean", "std"))
    if "x" not in fields:
        raise DataError(f"{path}: no field 'x'; it has {', '.join(field_names(path)) or 'no fields'}")
    x = fields["x"]
    if x.ndim != 4 or min(x.shape) < 1:
        raise DataError(f"{path}: x has shape {_text(x.shape)}, expected (N, C, H, W) with sizes of at least 1")
    x = x[:limit]
    y = _labels(path, fields["y"], len(fields["x"]))[:limit] if "y" in fields else None
    if x.dtype == np.uint8:
        mean, std = (_channels(path, fields, name, x.shape[1]) for name in ("mean", "std"))
        _check_normalisation(path, mean, std)
        return Dataset(str(path), x.shape[1:], y, len(x), _Pixels(x, mean, std))
    if x.dtype != np.float32:
        raise DataError(f"{path}: x is {x.dtype}, expected uint8 (with mean and std) or float32")
    for index in range(len(x)):
        if not np.isfinite(x[index]).all():
            raise DataError(f"{path}: x[{index}] holds NaN or infinity, expected finite numbers")
    return Dataset(str(path), x.shape[1:], y, len(x), _Floats(x))


def _labels(path: Path, y: npt.NDArray[np.generic], count: int) -> LabelArray:
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise DataError(f"{path}: y is {y.dtype} {_text(y.shape)}, expected integers of shape ({count},)")
    least, most = int(y.min()), int(y.max())
    if least < UNKNOWN or most > LAST_CLASS:
        bad = least if least < UNKNOWN else most
        raise DataError(f"{path}: y holds {bad}, expected classes 0 to {LAST_CLASS}, or -1 where unknown")
    return y.astype(np.int64)


def _channels(path: Path, fields: Fields, name: str, channels: int) -> FloatArray:
    if name not in fields:
        raise DataError(
            f"{path}: x is uint8 and there is no field '{name}', expected one number per channel ({channels})"
        )
    value = fields[name]
    if value.shape != (channels,) or value.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is {value.dtype} {_text(value.shape)}, expected float32 ({channels},)")
    numbers: FloatArray = value.astype(np.float32)
    if not np.isfinite(numbers).all() or (name == "std" and (numbers <= 0).any()):
        above = " above 0" if name == "std" else ""
        raise DataError(f"{path}: {name} = {numbers.tolist()}, expected finite numbers{above}")
    return numbers


def _check_normalisation(path: Path, mean: FloatArray, std: FloatArray) -> None:
    """Numbers may be finite, and what they make of the pixels may not be."""
    ends = np.stack([(np.float64(pixel) - mean) / std for pixel in (0, 1)])
    if not (np.abs(ends) <= np.finfo(np.float32).max).all():
        raise DataError(f"{path}: mean = {mean.tolist()}, std = {std.tolist()} make infinite numbers of the pixels")


def _normalise(pixels: npt.NDArray[np.generic], mean: FloatArray, std: FloatArray) -> FloatArray:
    scaled: FloatArray = pixels.astype(np.float32)
    scaled /= np.float32(255)
    scaled -= mean[:, None, None]
    scaled /= std[:, None, None]
    return scaled


def _load_folder(path: Path, limit: int | None, size: int) -> Dataset:
    classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    if not classes:
        raise DataError(f"{path}: no sub-folders, expected one per class")
    files = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((path / name).iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not files:
        raise DataError(f"{path}: no images in its {len(classes)} sub-folders, expected {', '.join(IMAGE_SUFFIXES)}")
    if limit is not None and limit < len(files):
        files = [files[index * len(files) // limit] for index in range(limit)]
    _require_pillow(path)
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    labels = np.array([label for _, label in files], np.int64)
    return Dataset(str(path), (3, size, size), labels, len(files), _Files([file for file, _ in files], size, mean, std))


def _require_pillow(path: Path) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path}: a folder of images needs Pillow: pip install 'tvm_re2na[images]'") from error


def _decode(file: Path, size: int) -> npt.NDArray[np.uint8]:
    """The centre of a picture, of those pixels alone that it takes: a strip of 1 x 3000 would be resized to 256 x 768,000."""
    from PIL import Image

    image = _rgb(file)
    shorter = round(size * 256 / 224)
    scale = shorter / min(image.size)
    resized = [max(shorter, round(side * scale)) for side in image.size]
    first = [(side - size) // 2 for side in resized]
    box = [
        (at + more) * side / whole
        for more in (0, size)
        for at, side, whole in zip(first, image.size, resized, strict=True)
    ]
    image = image.resize((size, size), Image.Resampling.BILINEAR, tuple(box))
    return np.asarray(image, np.uint8).transpose(2, 0, 1)


def _rgb(file: Path) -> Any:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a limit of ours
            with Image.open(file) as opened:
                if math.prod(opened.size) > MOST_PIXELS:
                    raise DataError(f"{file}: {opened.size[0]}x{opened.size[1]} pixels, at most {MOST_PIXELS} are read")
                return opened.convert("RGB")
    except (DataError, MemoryError, FileNotFoundError, PermissionError):
        raise
    except (
        Exception
    ) as error:  # a decoder that comes upon damage raises anything: SyntaxError, struct.error, IndexError, ...
        raise DataError(f"{file}: no readable image ({error})") from error


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
