"""Products of int8 matrices in C against NumPy's of int64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tvm_re2na.runtime.products import multiply


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 5),
    pixels=st.sampled_from([1, 2, 47, 48, 49, 130]),
    inputs=st.sampled_from([1, 3, 4, 63, 64, 65, 576, 580, 1025]),
    outputs=st.sampled_from([1, 15, 16, 17, 40]),
    largest=st.sampled_from([1, 20, 128]),
    seed=st.integers(0, 10_000),
)
@example(groups=1, pixels=3, inputs=8192, outputs=2, largest=11, seed=0)
@example(groups=1, pixels=3, inputs=2 * 8192 + 5, outputs=17, largest=7, seed=1)
def test_products_are_exact(groups: int, pixels: int, inputs: int, outputs: int, largest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-largest, largest, (groups, pixels, inputs), np.int8)
    weights = rng.integers(-largest, largest, (groups, inputs, outputs), np.int8)
    wanted = rows.astype(np.int64) @ weights
    assert abs(wanted).max() < 2**24
    assert (multiply(rows, weights) == wanted).all()


@pytest.mark.parametrize("value", [-128, 127])
def test_extremes_are_exact(value: int) -> None:
    """All inputs and all weights at the end of their range: 1,000 of -128 x -128 are 16,384,000."""
    rows, weights = np.full((1, 5, 1000), value, np.int8), np.full((1, 1000, 33), -128, np.int8)
    assert (multiply(rows, weights) == -128_000 * value).all()


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        (np.zeros((1, 2, 3), np.int8), np.zeros((1, 4, 5), np.int8), "weights: int8"),
        (np.zeros((1, 2, 3), np.float32), np.zeros((1, 3, 5), np.int8), "rows: float32"),
        (np.zeros((1, 3, 2), np.int8).transpose(0, 2, 1), np.zeros((1, 3, 5), np.int8), "rows: int8"),
    ],
)
def test_arrays_are_checked(rows: np.ndarray, weights: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message} .*expected contiguous int8"):
        multiply(rows, weights)
