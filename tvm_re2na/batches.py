"""A batch of what a network takes: float32 (n, ...). Of a network of several inputs it is an array of records (n,), with a field
for each input, by its name and in the model's order.

NumPy slices, joins, measures and sends both alike: only who fills a batch and who feeds a network with it asks which of them it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Batch: TypeAlias = npt.NDArray[Any]
Sample: TypeAlias = tuple[int, ...] | Mapping[str, tuple[int, ...]]  # the shape of one of a batch; by input, of several


def join_inputs(arrays: Mapping[str, npt.NDArray[np.generic]]) -> Batch:
    """Records of arrays (n, ...), one for each of several inputs; all of one length."""
    kinds = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
    joined = np.empty(len(next(iter(arrays.values()))), kinds)
    for name, array in arrays.items():
        joined[name] = array
    return joined


def arrays_of(batch: Batch) -> list[npt.NDArray[Any]]:
    """What each input gets, in the model's order; each contiguous."""
    parts = [batch] if batch.dtype.names is None else [batch[name] for name in batch.dtype.names]
    return [np.ascontiguousarray(part) for part in parts]


def by_name(batch: Batch, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The same by the inputs' names, of which `names` is needed for one input alone."""
    return dict(zip(batch.dtype.names or names[:1], arrays_of(batch), strict=True))


def bytes_of_one(sample: Sample) -> int:
    shapes = sample.values() if isinstance(sample, Mapping) else (sample,)
    return np.dtype(np.float32).itemsize * sum(math.prod(shape) for shape in shapes)


def sample_text(sample: Sample) -> str:
    """`3x8x8`, or `image 3x8x8, facts 5`."""
    if isinstance(sample, Mapping):
        return ", ".join(f"{name} {shape_text(shape)}" for name, shape in sample.items())
    return shape_text(sample)


def shape_text(shape: tuple[int | None, ...]) -> str:
    """`3x8x8`; an open size is `?`."""
    return "x".join("?" if size is None else str(size) for size in shape) or "one number"
