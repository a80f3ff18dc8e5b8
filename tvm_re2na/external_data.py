"""Weights that a model keeps in other files: looked at before they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo

from tvm_re2na.batches import shape_text
from tvm_re2na.model_error import ModelError, first_line

# protobuf's limit for a message. The checker, ONNX Runtime and both TVMs are handed a model as one, its weights within it.
MOST_BYTES = 2**31 - 1


def check_bytes(own: int, external: int = 0) -> None:
    """Raises ModelError for a model that is too large, with what lies in other files."""
    if own + external > MOST_BYTES:
        raise ModelError(
            f"{own + external:,} bytes with all weights, at most {MOST_BYTES:,} can be read (protobuf's limit)"
        )


def check_files(tensors: Iterable[onnx.TensorProto], folder: str | os.PathLike[str], own: int) -> None:
    """Raises ModelError unless every file is there and holds what the tensors' shapes say, and `own` bytes with all of them are not
    too many. Where in `folder` a file may lie is ONNX's to say, as it reads it."""
    total = 0
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            total += _available(tensor, Path(folder))
            check_bytes(own, total)


def _available(tensor: onnx.TensorProto, folder: Path) -> int:
    """The bytes that the tensor is going to have."""
    name = f"tensor '{tensor.name}'"
    try:
        told = ExternalDataInfo(tensor)
        offset, length = int(told.offset or 0), told.length
    except ValueError as error:
        raise ModelError(f"{name}: where its data lies cannot be read ({first_line(error)})") from error
    path = folder / told.location
    if not told.location or not path.is_file():
        raise ModelError(f"{name}: its data should be in {str(path)!r}, which is no file")
    there = max(path.stat().st_size - max(offset, 0), 0)
    wanted = _bytes_of(tensor)
    given: int = there if length is None else min(int(length), there)
    if offset < 0 or given != (given if wanted is None else wanted):
        shape = shape_text(tuple(tensor.dims))
        raise ModelError(
            f"{name} of shape {shape}: {path} has {given:,} bytes for it at {offset:,}, expected {wanted:,}"
        )
    return given


def _bytes_of(tensor: onnx.TensorProto) -> int | None:
    """None of types that NumPy does not know: some share a byte."""
    try:
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        return None
    return None if kind.kind == "V" else math.prod(tensor.dims) * kind.itemsize
