"""Products of matrices of int8, exact, in C and on all processors, for the quantiser."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvm_re2na.runtime import library
from tvm_re2na.runtime.library import Floats
from tvm_re2na.runtime.shares import check, share


def multiply(rows: npt.NDArray[np.int8], weights: npt.NDArray[np.int8]) -> Floats:
    """(groups, P, K) @ (groups, K, O) as float32 (groups, P, O): exact up to 2**24 where K <= 2**13, elsewhere rounded.

    Raises ValueError for arrays that are not int8, of these shapes and contiguous, and MemoryError.
    """
    groups, pixels, inputs = rows.shape
    check("rows", rows, (groups, pixels, inputs), np.int8)
    check("weights", weights, (groups, inputs, weights.shape[-1]), np.int8)
    sums = np.empty((groups, pixels, weights.shape[2]), np.float32)
    share(lambda weights, rows, sums: library.products(rows, weights, sums), weights, rows, sums)
    return sums
