"""The quantiser's inner loop in C: coordinate descent over integer weights, on all processors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tvm_re2na.runtime import library
from tvm_re2na.runtime.library import Floats
from tvm_re2na.runtime.many import processors


def descend(gram: Floats, left: Floats, weight: Floats, limits: tuple[int, int], sweeps: int) -> None:
    """Change `weight` (groups, outputs, inputs), integers, to integers within `limits` of less squared error, and use up `left`.

    `gram` (groups, inputs, inputs) is symmetric with a positive diagonal; `left`, shaped as `weight`, is the negative gradient of
    half the squared error: what the gram matrix makes of the best real weights, less what it makes of these. Each weight in turn
    becomes the best integer, the others held, until none moves or `sweeps` are done. Raises ValueError for arrays that are not
    float32, of these shapes and contiguous.
    """
    groups, _, inputs = weight.shape
    shapes = {"gram": (gram, (groups, inputs, inputs)), "left": (left, weight.shape), "weight": (weight, weight.shape)}
    for name, (value, shape) in shapes.items():
        if value.shape != shape or value.dtype != np.float32 or not value.flags.c_contiguous:
            raise ValueError(f"{name}: {value.dtype} {value.shape}, expected contiguous float32 {shape}")
    with ThreadPoolExecutor(processors()) as pool:  # ctypes lets other threads run
        parts = [
            pool.submit(library.descend, *part, limits, sweeps) for part in _parts(gram, left, weight, processors())
        ]
    for part in parts:
        part.result()


def _parts(gram: Floats, left: Floats, weight: Floats, count: int) -> list[tuple[Floats, Floats, Floats]]:
    """Outputs do not know of each other: shares of the groups, or of the outputs of a layer that has one group."""
    if len(gram) > 1:
        arrays = (np.array_split(value, count) for value in (gram, left, weight))
        return [part for part in zip(*arrays, strict=True) if len(part[0])]
    shares = zip(*(np.array_split(value, count, axis=1) for value in (left, weight)), strict=True)
    return [(gram, *share) for share in shares if share[0].size]
