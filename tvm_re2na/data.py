"""Test and calibration images: an `.npz` file, a folder with one sub-folder per class, or a map-style dataset
(`map_style.py`). Nothing of TVM or ONNX here.

A data file holds

    x           uint8 (N, C, H, W), read as (x / 255 - mean) / std; or float32 (N, C, H, W), used as it is
    mean, std   float32 (C,), needed with uint8
    y           integers (N,): the class of each image, -1 where it is not known; may be left out

Images are converted to float32 piece by piece, so that a large uint8 file stays as small in memory as it is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.npz import DataError, Fields, field_names, read_npz
from tvm_re2na.pictures import Frame, Pixels, require_pillow
from tvm_re2na.preprocessing import ASSUMED, Preprocessing, show

FloatArray: TypeAlias = npt.NDArray[np.float32]
LabelArray: TypeAlias = npt.NDArray[np.int64]

NOTHING = Preprocessing()
UNKNOWN = -1  # the label of an image whose class is not known
LAST_CLASS = 2**31 - 1
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with or without labels; `read(start, stop)` yields them as float32 (n, C, H, W), ready for the network.

    `preprocessing`: what their pixels went through, as far as that is known.
    """

    source: str
    shape: tuple[int, int, int]
    y: LabelArray | None
    count: int
    read: Callable[[int, int], FloatArray]
    preprocessing: Preprocessing = NOTHING

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

    def expect_labels(self, classes: int | None) -> None:
        """Raise DataError for a label that is none of the network's classes; None: nobody knows how many these are."""
        if self.y is None or classes is None or not len(self.y) or self.y.max() < classes:
            return
        index = int((self.y >= classes).argmax())
        raise DataError(
            f"{self.source}: y[{index}] holds class {self.y[index]}, the network tells {classes} classes apart"
            f" (0 to {classes - 1})"
        )


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Pixels to what a network takes; float32 (C,) each."""

    mean: FloatArray
    std: FloatArray

    @classmethod
    def of_channels(cls, source: str, how: Preprocessing, channels: int) -> Normalisation:
        """Of a mean and a std that are there. Raises DataError where they are not for so many channels."""
        found = cls(*(_for_channels(source, name, getattr(how, name), channels) for name in ("mean", "std")))
        found.check(source)
        return found

    def of(self, pixels: npt.NDArray[np.generic]) -> FloatArray:
        scaled: FloatArray = pixels.astype(np.float32, order="C")
        scaled /= np.float32(255)
        scaled -= self.mean[:, None, None]
        scaled /= self.std[:, None, None]
        return scaled

    def check(self, source: str) -> None:
        """Numbers may be finite, and what they make of the pixels may not be."""
        ends = np.stack([(np.float64(pixel) - self.mean) / self.std for pixel in (0, 1)])
        if not (np.abs(ends) <= np.finfo(np.float32).max).all():
            told = f"mean = {self.mean.tolist()}, std = {self.std.tolist()}"
            raise DataError(f"{source}: {told} make infinite numbers of the pixels")


def _for_channels(source: str, name: str, values: tuple[float, ...], channels: int) -> FloatArray:
    if len(values) not in (1, channels):
        raise DataError(f"{source}: {name} = {show(values)} has {len(values)} numbers, the images {channels} channels")
    return np.full(channels, values, np.float32)


class MapStyle(Protocol):
    """Items are (image, label): `map_style.py`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


DataSource: TypeAlias = Dataset | str | os.PathLike[str] | MapStyle


# What a Dataset reads from; other processes get it pickled.


@dataclass(frozen=True, eq=False)
class _Floats:
    x: FloatArray

    def __call__(self, start: int, stop: int) -> FloatArray:
        return self.x[start:stop]


@dataclass(frozen=True, eq=False)
class _Pixels:
    x: npt.NDArray[Any]
    scale: Normalisation
    frame: Frame | None
    source: str

    def __call__(self, start: int, stop: int) -> FloatArray:
        part = self.x[start:stop]
        if self.frame is None:
            return self.scale.of(part)
        framed = [self.frame.of_pixels(x, f"{self.source}: x[{start + at}]") for at, x in enumerate(part)]
        return self.scale.of(np.stack(framed))


@dataclass(frozen=True, eq=False)
class _Files:
    files: list[Path]
    scale: Normalisation
    frame: Frame

    def __call__(self, start: int, stop: int) -> FloatArray:
        return self.scale.of(np.stack([self.frame.of_file(file) for file in self.files[start:stop]]))


def in_memory(source: str, x: FloatArray, y: LabelArray | None) -> Dataset:
    """Images (N, C, H, W) that are there already."""
    return Dataset(source, x.shape[1:], y, len(x), _Floats(x))


def load_dataset(
    source: DataSource,
    limit: int | None = None,
    image_size: int | tuple[int, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    calibrated: Preprocessing | None = None,
) -> Dataset:
    """Read an `.npz` file, a folder of classes, or a map-style dataset of (image, label); at most `limit` images of it.

    `image_size`: the network's (C, H, W), or one number for 3 channels and a square (224). The first `limit` images of a file;
    of anything else `limit` images spread evenly over it. Pictures that have not the network's size are resized (shorter side
    to 256/224 of it) and cropped in the centre, unless `preprocessing` says otherwise. What that leaves open is as `calibrated`
    says: what the network's calibration images went through (`Dataset.preprocessing`). Where nobody tells a normalisation,
    that of ImageNet is assumed, with a warning; an `.npz` of pixels tells its own. A Dataset is what it is.
    Raises DataError or PreprocessingError for anything that cannot be used, OSError if it cannot be read.
    """
    if isinstance(source, Dataset):
        return source
    asked = Asked(preprocessing or NOTHING, calibrated or NOTHING, _network(image_size))
    name = source if isinstance(source, str | os.PathLike) else type(source).__name__
    if limit is not None and limit < 1:
        raise DataError(f"{name}: limit {limit}, expected at least 1 image")
    if not isinstance(source, str | os.PathLike):
        from tvm_re2na.map_style import load_map_style

        return load_map_style(source, limit, asked)
    path = Path(source)
    return _load_folder(path, limit, asked) if path.is_dir() else _load_npz(path, limit, asked)


def _network(size: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """(C, H, W) that is taken for the network's."""
    return size if isinstance(size, tuple) else (3, size or 224, size or 224)


@dataclass(frozen=True)
class Asked:
    """What the user asks for, what the network's calibration used, and (C, H, W) of the network."""

    given: Preprocessing
    calibrated: Preprocessing
    network: tuple[int, ...]

    def chosen(self, source: str) -> Preprocessing:
        """What the user asks for, and otherwise what calibration used; a warning where these differ."""
        for name, ours, theirs in self.given.differences(self.calibrated):
            warn(f"{source}: {name} = {ours} is used; the network was calibrated with {theirs}")
        return self.given.over(self.calibrated)

    def frame(self, how: Preprocessing) -> Frame:
        """Of pictures, for which the network's size is a default."""
        return Frame.of(how, 1 if self.network[0] == 1 else 3, (self.network[1], self.network[2]))


def with_normalisation(source: str, how: Preprocessing, channels: int) -> Preprocessing:
    """With a mean and a std: where they are not known, ImageNet's, which is said."""
    mean, std = ASSUMED[channels]
    assumed = [f"{name} = {show(value)}" for name, value in (("mean", mean), ("std", std)) if name not in how.said()]
    if assumed:
        warn(
            f"{source}: {' and '.join(assumed)} of ImageNet assumed; --mean and --std say what the network was trained with"
        )
    return how.over(Preprocessing(mean, std))


def warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


def refuse(source: str, given: Preprocessing, kind: str) -> None:
    """Raise DataError where something is asked for that takes pixels, and there are none."""
    for name, value in given.said().items():
        if name != "layout":
            raise DataError(f"{source}: {name} = {show(value)} is for pixels (uint8); {kind} is used as it is")


def _load_npz(path: Path, limit: int | None, asked: Asked) -> Dataset:
    fields = read_npz(path, ("x", "y", "mean", "std"))
    if "x" not in fields:
        raise DataError(f"{path}: no field 'x'; it has {', '.join(field_names(path)) or 'no fields'}")
    x = fields["x"]
    if x.ndim != 4 or min(x.shape) < 1:
        raise DataError(f"{path}: x has shape {_text(x.shape)}, expected (N, C, H, W) with sizes of at least 1")
    x = channels_first(x[:limit], asked.given)
    y = check_labels(path, fields["y"], len(fields["x"]))[:limit] if "y" in fields else None
    if x.dtype == np.uint8:
        return _of_pixels(path, x, y, fields, asked)
    if x.dtype != np.float32:
        raise DataError(f"{path}: x is {x.dtype}, expected uint8 (with mean and std) or float32")
    refuse(str(path), asked.given, "x is float32, which")
    for index in range(len(x)):
        if not np.isfinite(x[index]).all():
            raise DataError(f"{path}: x[{index}] holds NaN or infinity, expected finite numbers")
    return Dataset(str(path), x.shape[1:], y, len(x), _Floats(np.ascontiguousarray(x)))


def channels_first(x: npt.NDArray[Any], how: Preprocessing) -> npt.NDArray[Any]:
    """x (N, ...) as (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2) if how.layout == "nhwc" and x.ndim == 4 else x


def _of_pixels(path: Path, x: Pixels, y: LabelArray | None, fields: Fields, asked: Asked) -> Dataset:
    """What is asked for comes first, then what the file says, then what calibration used. What that did to pictures of another
    size is not done to images that have the network's."""
    given, source = asked.given, str(path)
    geometry = ("resize", "crop", "gray")
    fitting = x.shape[1:] == asked.network
    calibrated = replace(asked.calibrated, **dict.fromkeys(geometry)) if fitting else asked.calibrated
    how = replace(asked, calibrated=calibrated).chosen(source)
    frame = None
    if any(name in how.said() for name in geometry):
        placed = how.resize is not None or how.crop is not None
        frame = Frame.of(how, x.shape[1], (asked.network[1], asked.network[2]) if placed else None)
    channels = x.shape[1] if frame is None else frame.channels
    own: dict[str, Any] = {}
    for name in ("mean", "std"):
        if name in fields and (name not in given.said() or fields[name].shape == (channels,)):
            own[name] = tuple(_channels(path, fields, name, channels).tolist())
        elif name not in how.said():
            _channels(path, fields, name, channels)  # says what is missing
    for name, ours, theirs in given.differences(Preprocessing(**own)):
        warn(f"{source}: {name} = {ours} is used; the file says {theirs}")
    how = given.over(Preprocessing(**own)).over(how)
    size = None if frame is None else frame.size
    shape = (channels, *(size or x.shape[2:]))
    scale = Normalisation.of_channels(source, how, channels)
    return Dataset(source, shape, y, len(x), _Pixels(x, scale, frame, source), how.of_network())


def check_labels(source: str | os.PathLike[str], y: npt.NDArray[np.generic], count: int) -> LabelArray:
    """y as it is kept; raises DataError unless it is `count` classes."""
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise DataError(f"{source}: y is {y.dtype} {_text(y.shape)}, expected integers of shape ({count},)")
    least, most = int(y.min()), int(y.max())
    if least < UNKNOWN or most > LAST_CLASS:
        bad = least if least < UNKNOWN else most
        raise DataError(f"{source}: y holds {bad}, expected classes 0 to {LAST_CLASS}, or -1 where unknown")
    return y.astype(np.int64)


def _channels(path: Path, fields: Fields, name: str, channels: int) -> FloatArray:
    if name not in fields:
        raise DataError(
            f"{path}: x is uint8 and there is no field '{name}', expected one number per channel ({channels}); --{name} gives it"
        )
    value = fields[name]
    if value.shape != (channels,) or value.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is {value.dtype} {_text(value.shape)}, expected float32 ({channels},)")
    numbers: FloatArray = value.astype(np.float32)
    if not np.isfinite(numbers).all() or (name == "std" and (numbers <= 0).any()):
        above = " above 0" if name == "std" else ""
        raise DataError(f"{path}: {name} = {numbers.tolist()}, expected finite numbers{above}")
    return numbers


def _load_folder(path: Path, limit: int | None, asked: Asked) -> Dataset:
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
    files = [files[index] for index in spread(len(files), limit)]
    require_pillow(str(path))
    how = asked.chosen(str(path))
    frame = asked.frame(how)
    how = with_normalisation(str(path), how, frame.channels)
    scale = Normalisation.of_channels(str(path), how, frame.channels)
    labels = np.array([label for _, label in files], np.int64)
    shape = (frame.channels, *(frame.size or (asked.network[1], asked.network[2])))
    read = _Files([file for file, _ in files], scale, frame)
    return Dataset(str(path), shape, labels, len(files), read, how.of_network())


def spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of so many, evenly."""
    used = count if limit is None else min(limit, count)
    return [index * count // used for index in range(used)]


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
