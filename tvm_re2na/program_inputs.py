"""What a program is run on: int8 as it is, or numbers that are quantised with the scale that the program notes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import Batch, join_inputs, shape_text
from tvm_re2na.codegen.program import Program
from tvm_re2na.data import DataSource, channels_first, load_dataset
from tvm_re2na.dataset import Dataset, LabelArray, refuse, refuse_all
from tvm_re2na.npz import DataError, field_names, read_npz
from tvm_re2na.preprocessing import NOTE, Preprocessing
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.several_inputs import LABELS, joined

# in the notes of a program: of several inputs for each its name in the network, its scale and shape; of one its shape in the
# network, which of a sequence is (C, L), where the program takes (C, L, 1)
INPUTS, INPUT_SHAPE = "inputs", "input_shape"
PIECE = 64  # images that are quantised at a time


def read_inputs(
    program: Program, data: DataSource, limit: int | None, preprocessing: Preprocessing | None = None
) -> tuple[Batch, LabelArray | None]:
    """int8 images for the program, of several inputs as records, and their labels. Raises DataError where they do not suit it."""
    given = preprocessing or Preprocessing()
    if len(program.inputs) > 1:
        return _several(program, data, limit, given)
    shape, size = program.inputs[0].shape[1:], _shape_of_one(program)
    raw = _raw(data, given)
    if raw is not None:
        images, labels, source = raw[:limit], None, str(data)
    else:
        dataset = load_dataset(data, limit, size, given, calibrated=_calibrated(program))
        if len(program.outputs[0].shape) == 2:
            dataset.expect_labels(program.outputs[0].shape[1])
        images, labels, source = _quantise(program, dataset), dataset.y, dataset.source
    if len(images) < 1 or images.shape[1:] not in (size, shape):
        raise DataError(f"{source}: x is {images.shape}, the program takes images of {size}")
    return images.reshape(len(images), *shape), labels


def _shape_of_one(program: Program) -> tuple[int, ...]:
    """What the network takes: the program's own shape, or one of as many numbers that is noted."""
    shape = program.inputs[0].shape[1:]
    return _noted_shape(program.meta.get(INPUT_SHAPE), shape)


def _noted_shape(noted: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(noted, list) and all(type(size) is int and size > 0 for size in noted):
        return tuple(noted) if math.prod(noted) == math.prod(shape) else shape
    return shape


def _calibrated(program: Program) -> Preprocessing | None:
    return Preprocessing.from_text(program.meta[NOTE]) if NOTE in program.meta else None


def _raw(data: DataSource, given: Preprocessing) -> Int8Array | None:
    """x, if it is int8 already."""
    if not isinstance(data, str | os.PathLike) or Path(data).suffix not in (".npz", ".npy") or not Path(data).is_file():
        return None
    x = read_npz(data, ("x",)).get("x")
    if x is None or x.dtype != np.int8:
        return None
    refuse(os.fspath(data), given, "x is int8, which")
    return np.ascontiguousarray(channels_first(x, given))


def _quantise(program: Program, dataset: Dataset) -> Int8Array:
    scale = program.meta.get("input_scale")
    if scale is None:
        raise DataError(f"{dataset.source}: the program does not tell the scale of its input: give x as int8")
    starts = range(0, len(dataset), PIECE)
    return np.concatenate([quantise(dataset.read(at, min(at + PIECE, len(dataset))), scale) for at in starts])


def quantise(x: npt.NDArray[np.float32], scale: float) -> Int8Array:
    """As TVM's qnn.quantize: divide, round halves away from zero, saturate."""
    scaled = x / np.float32(scale)
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    clipped: Int8Array = np.clip(rounded, -128, 127).astype(np.int8)
    return clipped


# ---- several inputs


def _several(
    program: Program, data: DataSource, limit: int | None, given: Preprocessing
) -> tuple[Batch, LabelArray | None]:
    """Records with a field for each of the program's inputs, in their order."""
    if not isinstance(data, str | os.PathLike):
        raise DataError(
            f"{type(data).__name__}: the program has {len(program.inputs)} inputs: an .npz file with an array for each"
        )
    refuse_all(data, given, "is for pixels; the program's inputs are taken as they are")
    noted = _noted_inputs(program)
    fields = read_npz(data, (*noted, LABELS))
    shapes = [tensor.shape[1:] for tensor in program.inputs]
    for shape, (name, note) in zip(shapes, noted.items(), strict=True):
        if name not in fields:
            raise DataError(
                f"{data}: no field '{name}', an input of the program; it has {', '.join(field_names(data))}"
            )
        array = fields[name]
        if array.shape[1:] not in (shape, _noted_shape(note.get("shape"), shape)) or not array.size:
            raise DataError(f"{data}: {name} is {array.shape}, the program takes Nx{shape_text(shape)}")
    given_labels = None if LABELS in noted else fields.get(LABELS)
    records, labels = joined(data, {name: fields[name] for name in noted}, given_labels, limit)
    arrays = {
        name: _integers(records[name], note.get("scale"), f"{data}: {name}").reshape(len(records), *shape)
        for shape, (name, note) in zip(shapes, noted.items(), strict=True)
    }
    return join_inputs(arrays), labels


def _noted_inputs(program: Program) -> dict[str, Mapping[str, Any]]:
    """The names of the program's inputs in the network, with what is noted of each; otherwise its own names, with nothing."""
    own: dict[str, Mapping[str, Any]] = {tensor.name: {} for tensor in program.inputs}
    noted = program.meta.get(INPUTS)
    if not isinstance(noted, list) or not all(
        isinstance(note, dict) and isinstance(note.get("name"), str) for note in noted
    ):
        return own
    named = {note["name"]: note for note in noted}
    return named if len(named) == len(own) else own


def _integers(array: npt.NDArray[Any], scale: Any, where: str) -> Int8Array:
    if array.dtype == np.int8:
        return array
    if array.dtype != np.float32:
        raise DataError(f"{where} is {array.dtype}, expected float32 or int8")
    if not isinstance(scale, float) or not 0 < scale < math.inf:
        raise DataError(f"{where} is float32, but the program does not tell the scale of this input: give it as int8")
    if not np.isfinite(array).all():
        raise DataError(f"{where} holds NaN or infinity, expected finite numbers")
    return quantise(array, scale)
