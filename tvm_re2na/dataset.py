"""Images as every part of the package takes them, and what their pixels go through before."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import Batch, Sample, bytes_of_one, sample_text, shape_text
from tvm_re2na.npz import DataError
from tvm_re2na.pictures import Frame
from tvm_re2na.preprocessing import ASSUMED, Preprocessing, show

FloatArray: TypeAlias = npt.NDArray[np.float32]
LabelArray: TypeAlias = npt.NDArray[np.int64]
NOTHING = Preprocessing()
UNKNOWN = -1  # the label of an image whose class is not known
LAST_CLASS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with or without labels; `read(start, stop)` yields them as float32 (n, C, H, W), ready for the network. Or what else a
    network takes: (n, C, L), (n, F), or the records of several inputs (`batches.py`).

    `shape`: of one of them. `preprocessing`: what their pixels went through, as far as that is known.
    """

    source: str
    shape: Sample
    y: LabelArray | None
    count: int
    read: Callable[[int, int], Batch]
    preprocessing: Preprocessing = NOTHING

    def __len__(self) -> int:
        return self.count

    @property
    def x(self) -> Batch:
        """All images at once."""
        return self.read(0, self.count)

    @property
    def labelled(self) -> int:
        """How many images have a known class."""
        return 0 if self.y is None else int((self.y != UNKNOWN).sum())

    @property
    def bytes_of_one(self) -> int:
        """Of an image as the network takes it."""
        return bytes_of_one(self.shape)

    def batches(self, size: int) -> Iterator[tuple[int, Batch]]:
        """(images that count, `size` images): the last batch is filled up by repeating its last image."""
        for start in range(0, self.count, size):
            images = self.read(start, min(start + size, self.count))
            missing = size - len(images)
            yield len(images), np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images

    def expect_shape(self, shape: Sample) -> None:
        """Raise DataError unless one image has the shape that the network takes, (C, H, W) or another."""
        if self.shape != shape:
            what = "images" if not isinstance(shape, tuple) or len(shape) == 3 else "arrays"
            raise DataError(
                f"{self.source}: x holds {what} of {sample_text(self.shape)}, the network takes {sample_text(shape)}"
            )

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


@dataclass(frozen=True)
class Asked:
    """What the user asks for, what the network's calibration used, and (C, H, W) of the network, or another shape of one input."""

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
    refuse_all(source, given, f"is for pixels (uint8); {kind} is used as it is", but=("layout",))


def refuse_all(source: str | os.PathLike[str], given: Preprocessing, why: str, but: Collection[str] = ()) -> None:
    """Raise DataError for the first thing that is asked for."""
    for name, value in given.said().items():
        if name not in but:
            raise DataError(f"{source}: {name} = {show(value)} {why}")


def check_labels(source: str | os.PathLike[str], y: npt.NDArray[np.generic], count: int) -> LabelArray:
    """y as it is kept; raises DataError unless it is `count` classes."""
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise DataError(f"{source}: y is {y.dtype} {shape_text(y.shape)}, expected integers of shape ({count},)")
    least, most = int(y.min()), int(y.max())
    if least < UNKNOWN or most > LAST_CLASS:
        bad = least if least < UNKNOWN else most
        raise DataError(f"{source}: y holds {bad}, expected classes 0 to {LAST_CLASS}, or -1 where unknown")
    return y.astype(np.int64)


def spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of so many, evenly."""
    used = count if limit is None else min(limit, count)
    return [index * count // used for index in range(used)]
