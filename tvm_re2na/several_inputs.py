"""Data of a network of several inputs: an `.npz` with an array for each, by its name, and the labels `y`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import Batch, join_inputs, shape_text
from tvm_re2na.dataset import LabelArray, check_labels, refuse_all
from tvm_re2na.npz import DataError, Fields, field_names, read_npz
from tvm_re2na.preprocessing import Preprocessing

LABELS = "y"


def load_several(
    path: Path, inputs: Mapping[str, tuple[int, ...]], limit: int | None, given: Preprocessing
) -> tuple[Batch, LabelArray | None]:
    """Records and labels. `inputs`: the shape of one array of each. Raises DataError where one is missing or is not float32
    (N, *shape)."""
    names = list(inputs)
    refuse_all(path, given, f"is for pixels; the network takes {', '.join(names)} as they are")
    if path.is_dir():
        takes = f"the network has {len(names)} inputs, and takes an .npz with an array for each"
        raise DataError(f"{path}: a folder of pictures; {takes}")
    fields = read_npz(path, (*names, LABELS))
    arrays = {name: _array(path, fields, name, shape) for name, shape in inputs.items()}
    return joined(path, arrays, None if LABELS in inputs else fields.get(LABELS), limit)


def joined(
    path: str | os.PathLike[str],
    arrays: Mapping[str, npt.NDArray[Any]],
    labels: npt.NDArray[Any] | None,
    limit: int | None,
) -> tuple[Batch, LabelArray | None]:
    """Records and labels of at most `limit` of them. Raises DataError where inputs have different numbers of arrays."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DataError(f"{path}: as many arrays of every input are needed, found {told}")
    y = None if labels is None else check_labels(path, labels, max(counts.values()))[:limit]
    return join_inputs({name: array[:limit] for name, array in arrays.items()}), y


def _array(path: Path, fields: Fields, name: str, shape: tuple[int, ...]) -> Batch:
    if name not in fields:
        raise DataError(
            f"{path}: no field '{name}', which is an input of the network; it has {', '.join(field_names(path))}"
        )
    array = fields[name]
    if array.dtype != np.float32:
        raise DataError(f"{path}: {name} is {array.dtype}, expected float32")
    if array.shape[1:] != shape or not array.size:
        raise DataError(f"{path}: {name} has shape {shape_text(array.shape)}, the network takes Nx{shape_text(shape)}")
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(1)
    if bad.any():
        raise DataError(f"{path}: {name}[{int(bad.argmax())}] holds NaN or infinity, expected finite numbers")
    return array
