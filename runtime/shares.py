"""Work of the quantiser's on all processors: C code that lets other threads run, each with its share of the arrays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.runtime.many import processors

Array = npt.NDArray[Any]


def share(work: Callable[..., None], common: Array, *others: Array) -> None:
    """`work(common, *others)` in shares: of the groups, all arrays' first axis, or, where there is one, of the others' second."""
    with ThreadPoolExecutor(processors()) as pool:
        parts = [pool.submit(work, *part) for part in _parts(common, others, processors())]
    for part in parts:
        part.result()


def check(name: str, value: Array, shape: tuple[int, ...], kind: type) -> None:
    """Raises ValueError for an array of another shape or type, or one that is not contiguous."""
    if value.shape != shape or value.dtype != kind or not value.flags.c_contiguous:
        raise ValueError(f"{name}: {value.dtype} {value.shape}, expected contiguous {np.dtype(kind)} {shape}")


def _parts(common: Array, others: tuple[Array, ...], count: int) -> list[tuple[Array, ...]]:
    if len(common) > 1:
        split = (np.array_split(value, count) for value in (common, *others))
        return [part for part in zip(*split, strict=True) if len(part[0])]
    shares = zip(*(np.array_split(value, count, axis=1) for value in others), strict=True)
    return [(common, *part) for part in shares if part[0].size]
