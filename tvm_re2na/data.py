"""Test and calibration images: an `.npz` file, a folder with one sub-folder per class, or a map-style dataset
(`map_style.py`). Nothing of TVM or ONNX here.

A data file holds

    x           uint8 (N, C, H, W), read as (x / 255 - mean) / std; or float32 (N, C, H, W), used as it is
    mean, std   float32 (C,), needed with uint8
    y           integers (N,): the class of each image, -1 where it is not known; may be left out

or, for a network of sequences or vectors, x as float32 (N, C, L) or (N, F). An `.npy` file is x alone. Of a network of several
inputs see `several_inputs.py`.

Images are converted to float32 piece by piece, so that a large uint8 file stays as small in memory as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import Batch, Sample, shape_text
from tvm_re2na.dataset import (
    NOTHING,
    Asked,
    Dataset,
    FloatArray,
    LabelArray,
    MapStyle,
    Normalisation,
    check_labels,
    refuse,
    refuse_all,
    spread,
    warn,
    with_normalisation,
)
from tvm_re2na.map_style import load_map_style
from tvm_re2na.npz import DataError, Fields, field_names, read_npz
from tvm_re2na.pictures import Frame, Pixels, require_pillow
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.several_inputs import load_several

AXES = {4: "(N, C, H, W)", 3: "(N, C, L)", 2: "(N, F)"}
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


DataSource: TypeAlias = Dataset | str | os.PathLike[str] | MapStyle


# What a Dataset reads from; other processes get it pickled.


@dataclass(frozen=True, eq=False)
class _Floats:
    x: Batch

    def __call__(self, start: int, stop: int) -> Batch:
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


def in_memory(source: str, x: Batch, y: LabelArray | None) -> Dataset:
    """Images (N, C, H, W), or another batch, that are there already."""
    names = x.dtype.names
    shape: Sample = x.shape[1:] if names is None else {name: x.dtype[name].shape for name in names}
    return Dataset(source, shape, y, len(x), _Floats(x))


def load_dataset(
    source: DataSource,
    limit: int | None = None,
    image_size: int | Sample | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    calibrated: Preprocessing | None = None,
) -> Dataset:
    """Read an `.npz` file, a folder of classes, or a map-style dataset of (image, label); at most `limit` images of it.

    `image_size`: the network's (C, H, W), or one number for 3 channels and a square (224); of other networks (C, L), (F,), or a
    shape for each input, by its name. The first `limit` images of a file; of anything else `limit` images spread evenly over
    it. Pictures that have not the network's size are resized (shorter side to 256/224 of it) and cropped in the centre, unless
    `preprocessing` says otherwise. What that leaves open is as `calibrated` says: what the network's calibration images went
    through (`Dataset.preprocessing`). Where nobody tells a normalisation, that of ImageNet is assumed, with a warning; an
    `.npz` of pixels tells its own. A Dataset is what it is.
    Raises DataError or PreprocessingError for anything that cannot be used, OSError if it cannot be read.
    """
    if isinstance(source, Dataset):
        return source
    name = source if isinstance(source, str | os.PathLike) else type(source).__name__
    if limit is not None and limit < 1:
        raise DataError(f"{name}: limit {limit}, expected at least 1 image")
    if isinstance(image_size, Mapping):
        if not isinstance(source, str | os.PathLike):
            raise DataError(
                f"{name}: a network of several inputs takes an .npz file with an array for each, or a Dataset"
            )
        return in_memory(str(source), *load_several(Path(source), image_size, limit, preprocessing or NOTHING))
    asked = Asked(preprocessing or NOTHING, calibrated or NOTHING, _network(image_size))
    if len(asked.network) != 3:
        _only_arrays(name, asked)
    if not isinstance(source, str | os.PathLike):
        return load_map_style(source, limit, asked)
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, limit, asked)
    return _load_npz(path, limit, asked, any_rank=image_size is None)


def _only_arrays(name: str | os.PathLike[str], asked: Asked) -> None:
    """Raise DataError for pictures, or what is said of pixels: the network takes none."""
    takes = f"the network takes arrays of {shape_text(asked.network)}"
    refuse_all(name, asked.given, f"is for images; {takes}")
    if not isinstance(name, str | os.PathLike) or Path(name).is_dir():
        raise DataError(f"{name}: a folder or dataset of pictures; {takes}, from an .npz or .npy file")


def _network(size: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """(C, H, W) that is taken for the network's."""
    return size if isinstance(size, tuple) else (3, size or 224, size or 224)


def _load_npz(path: Path, limit: int | None, asked: Asked, *, any_rank: bool) -> Dataset:
    fields = read_npz(path, ("x", "y", "mean", "std"))
    if "x" not in fields:
        raise DataError(f"{path}: no field 'x'; it has {', '.join(field_names(path)) or 'no fields'}")
    x = fields["x"]
    pixels, rank = x.dtype == np.uint8, len(asked.network) + 1
    axes = AXES if any_rank and not pixels else {rank: AXES.get(rank, f"{rank} axes")}
    if x.ndim not in axes or min(x.shape) < 1:
        expected = " or ".join(axes.values())
        raise DataError(f"{path}: x has shape {shape_text(x.shape)}, expected {expected} with sizes of at least 1")
    x = channels_first(x[:limit], asked.given)
    y = check_labels(path, fields["y"], len(fields["x"]))[:limit] if "y" in fields else None
    if pixels and rank == 4:
        return _of_pixels(path, x, y, fields, asked)
    if x.dtype != np.float32:
        pictures = "uint8 (with mean and std) or " if rank == 4 else ""
        raise DataError(f"{path}: x is {x.dtype}, expected {pictures}float32")
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


def _channels(path: Path, fields: Fields, name: str, channels: int) -> FloatArray:
    if name not in fields:
        raise DataError(
            f"{path}: x is uint8 and there is no field '{name}', expected one number per channel ({channels}); --{name} gives it"
        )
    value = fields[name]
    if value.shape != (channels,) or value.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is {value.dtype} {shape_text(value.shape)}, expected float32 ({channels},)")
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
