"""Map-style datasets: any object with `__len__` and `__getitem__` that holds (image, label), as torchvision's and Hugging Face's.

An item is (image, label), or a dictionary with "image" and "label", or an image alone; an image one of Pillow's, or an array
(H, W), (H, W, C) or (C, H, W): of uint8 its pixels, of floats what the network takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import shape_text
from tvm_re2na.dataset import (
    UNKNOWN,
    Asked,
    Dataset,
    FloatArray,
    LabelArray,
    Normalisation,
    check_labels,
    refuse,
    spread,
    with_normalisation,
)
from tvm_re2na.npz import DataError
from tvm_re2na.pictures import Frame, is_picture
from tvm_re2na.preprocessing import Preprocessing

Image: TypeAlias = npt.NDArray[Any]
CHANNELS = (1, 3)


def load_map_style(source: Any, limit: int | None, asked: Asked) -> Dataset:
    """At most `limit` images, spread evenly over it; read when they are needed. Raises DataError, which names the item."""
    name = type(source).__name__
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")) or isinstance(source, Mapping | np.ndarray):
        raise DataError(f"{name}: no data: expected a path, a Dataset, or an object with __len__ and __getitem__")
    if not len(source):
        raise DataError(f"{name}: no items, expected at least 1")
    indices = spread(len(source), limit)
    frame = asked.frame(asked.given.over(asked.calibrated))
    items = _Items(source, indices, frame, asked.given, asked.network, None, name)
    first = items.image(0)
    how = Preprocessing()
    if first.dtype == np.uint8:
        how = with_normalisation(name, asked.chosen(name), len(first))
        items = _Items(
            source, indices, frame, asked.given, first.shape, Normalisation.of_channels(name, how, len(first)), name
        )
    else:
        refuse(name, asked.given, "an array of floats")
        items = _Items(source, indices, frame, asked.given, first.shape, None, name)
    return Dataset(name, first.shape, _labels(source, indices, name), len(indices), items, how.of_network())


@dataclass(frozen=True, eq=False)
class _Items:
    source: Any
    indices: list[int]
    frame: Frame
    given: Preprocessing
    shape: tuple[int, ...]
    scale: Normalisation | None
    name: str

    def __call__(self, start: int, stop: int) -> FloatArray:
        found = [self._same(at) for at in range(start, min(stop, len(self.indices)))]
        images = np.stack(found) if found else np.empty((0, *self.shape), np.float32)
        return images.astype(np.float32, copy=False) if self.scale is None else self.scale.of(images)

    def _same(self, at: int) -> Image:
        """One like the first."""
        image = self.image(at)
        kind = np.float32 if self.scale is None else np.uint8
        if image.shape != self.shape or image.dtype != kind:
            first = f"{np.dtype(kind)} {shape_text(self.shape)}"
            raise DataError(f"{self._where(at)}: {image.dtype} {shape_text(image.shape)}, the first is {first}")
        return image

    def image(self, at: int) -> Image:
        """(C, H, W), uint8 or float32."""
        where = self._where(at)
        image, _ = _parts(self.source[self.indices[at]], where)
        if is_picture(image):
            return self.frame.of_image(image, where)
        array = np.asarray(image)
        if array.dtype == np.uint8:
            return self.frame.of_pixels(self._channels_first(array, where), where)
        if array.dtype.kind != "f":
            raise DataError(f"{where}: {type(image).__name__} of {array.dtype}, expected a picture, uint8 or floats")
        floats = self._channels_first(array, where).astype(np.float32)
        if not np.isfinite(floats).all():
            raise DataError(f"{where}: holds NaN or infinity, expected finite numbers")
        return np.ascontiguousarray(floats)

    def _channels_first(self, array: Image, where: str) -> Image:
        """What the network takes as it is; otherwise the axis of 1 or 3 is that of the channels."""
        if array.ndim == 2:
            return array[None]
        if array.ndim != 3 or min(array.shape) < 1:
            raise DataError(f"{where}: an array of {shape_text(array.shape)}, expected (H, W), (H, W, C) or (C, H, W)")
        layout = {"nchw": "first", "nhwc": "last"}.get(self.given.layout or "")
        if layout is None and array.shape != self.shape:
            first, last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
            if first == last:
                raise DataError(
                    f"{where}: an array of {shape_text(array.shape)}: layout says which axis is the channels'"
                )
            layout = "first" if first else "last"
        return array.transpose(2, 0, 1) if layout == "last" else array

    def _where(self, at: int) -> str:
        return f"{self.name}[{self.indices[at]}]"


def _parts(item: Any, where: str) -> tuple[Any, Any]:
    """Image and label, which may be None."""
    if isinstance(item, Mapping):
        if "image" not in item:
            raise DataError(
                f"{where}: a dictionary of {', '.join(map(str, item)) or 'nothing'}, expected image and label"
            )
        return item["image"], item.get("label")
    if isinstance(item, tuple | list):
        if len(item) != 2:
            raise DataError(f"{where}: {len(item)} things, expected (image, label)")
        return item[0], item[1]
    return item, None


def _labels(source: Any, indices: list[int], name: str) -> LabelArray | None:
    """From the column of labels where there is one, which spares decoding every image."""
    if "label" in (getattr(source, "column_names", None) or ()):
        column = source["label"]
        found = [column[index] for index in indices]
    elif _has_targets(source):
        found = [source.targets[index] for index in indices]
    else:
        found = [_parts(source[index], f"{name}[{index}]")[1] for index in indices]
    labels = [_label(label, f"{name}[{index}]") for index, label in zip(indices, found, strict=True)]
    if all(label == UNKNOWN for label in labels):
        return None
    return check_labels(name, np.array(labels, np.int64), len(indices))


def _has_targets(source: Any) -> bool:
    """As torchvision's have them; what is made of a label on the way out would not be seen there."""
    targets: Any = getattr(source, "targets", None)
    known = hasattr(targets, "__getitem__") and hasattr(targets, "__len__") and len(targets) == len(source)
    return bool(known) and getattr(source, "target_transform", None) is None


def _label(label: Any, where: str) -> int:
    if label is None:
        return UNKNOWN
    value = np.asarray(label)
    if value.shape not in ((), (1,)) or value.dtype.kind not in "iub" or not UNKNOWN <= int(value.reshape(())) < 2**31:
        raise DataError(f"{where}: label {label!r:.80}, expected a class: an integer from 0, or -1 where it is unknown")
    return int(value.reshape(()))
