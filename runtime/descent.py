"""The quantiser's inner loop in C: coordinate descent over integer weights, on all processors."""

from __future__ import annotations

import numpy as np

from tvm_re2na.runtime import library
from tvm_re2na.runtime.library import Floats
from tvm_re2na.runtime.shares import check, share


def descend(gram: Floats, left: Floats, weight: Floats, limits: tuple[int, int], sweeps: int) -> None:
    """Change `weight` (groups, outputs, inputs), integers, to integers within `limits` of less squared error, and use up `left`.

    `gram` (groups, inputs, inputs) is symmetric with a positive diagonal; `left`, shaped as `weight`, is the negative gradient of
    half the squared error: what the gram matrix makes of the best real weights, less what it makes of these. Each weight in turn
    becomes the best integer, the others held, until none moves or `sweeps` are done. Raises ValueError for arrays that are not
    float32, of these shapes and contiguous.
    """
    groups, _, inputs = weight.shape
    check("gram", gram, (groups, inputs, inputs), np.float32)
    check("left", left, weight.shape, np.float32)
    check("weight", weight, weight.shape, np.float32)
    share(lambda gram, left, weight: library.descend(gram, left, weight, limits, sweeps), gram, left, weight)
