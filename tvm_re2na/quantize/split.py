"""Stage 1b: which calibration images the search sees, and which it does not: all that is reported is of those."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import by_name, join_inputs
from tvm_re2na.quantize.load import Calibration

EACH = 4  # one of so many images is held back
MOST = 128  # images that are held back at most
NOISE = 0.1  # of an image's deviation, in what stands in for images that could be held back
SHIFT = 8  # by this part of its last axis such an image is moved


@dataclass(frozen=True)
class CalibrationSplit:
    """Images in an order of chance, so that the first ones of either part stand for all, however the data is sorted.

    `synthetic`: there are too few to hold any back; what stands in their place is made of those that the search sees.
    """

    search: Calibration
    held_back: Calibration
    synthetic: bool


def split(images: Calibration) -> CalibrationSplit:
    """The same images are held back in every run, in whatever order they come."""
    order = shuffled(images)
    count = min(len(images) // EACH, MOST)
    if not count:
        return CalibrationSplit(images, _stand_ins(images), True)
    return CalibrationSplit(images[order[count:]], images[order[:count]], False)


def shuffled(images: Calibration) -> npt.NDArray[np.intp]:
    """An order that is theirs, and not that of the data: by their checksums."""
    return np.argsort([zlib.crc32(image.tobytes()) for image in images], kind="stable")


def _stand_ins(images: Calibration) -> Calibration:
    """Each image moved along its last axis, around the border, and with noise; of one axis with noise alone."""
    rng = np.random.default_rng(0)
    if images.dtype.names is None:
        return _disturbed(images, rng)
    return join_inputs({name: _disturbed(array, rng) for name, array in by_name(images, images.dtype.names).items()})


def _disturbed(array: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    moved = np.roll(array, max(1, array.shape[-1] // SHIFT), -1) if array.ndim > 2 else array
    noise = rng.standard_normal(array.shape, np.float32)
    noise *= np.float32(NOISE * array.std(dtype=np.float64))
    return moved + noise
