"""The gathering of a layer's inputs in C against NumPy's convolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_re2na.runtime.rows import ConvolutionWindow, gather

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def obvious(source: np.ndarray, pixels: np.ndarray, window: ConvolutionWindow) -> np.ndarray:
    top, left, bottom, right = window.pads
    padded = np.pad(source, ((0, 0), (0, 0), (top, bottom), (left, right)))
    across = (padded.shape[3] - (window.kernel[1] - 1) * window.dilations[1] - 1) // window.strides[1] + 1
    rows = []
    for image, chosen in zip(padded, pixels, strict=True):
        for pixel in chosen:
            y, x = pixel // across * window.strides[0], pixel % across * window.strides[1]
            part = image[:, y :: window.dilations[0], x :: window.dilations[1]]
            rows.append(part[:, : window.kernel[0], : window.kernel[1]].reshape(window.groups, -1))
    return np.array(rows, np.int8).transpose(1, 0, 2)


@settings(max_examples=80, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 6]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    strides=pairs,
    dilations=pairs,
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    seed=st.integers(0, 10_000),
)
def test_it_gathers_what_a_convolution_reads(
    groups: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    source = rng.integers(-128, 128, (2, 6, 13, 16), np.int8)
    window = ConvolutionWindow(groups, kernel, strides, dilations, pads)
    sizes = [
        (source.shape[2 + i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in (0, 1)
    ]
    if min(sizes) < 1:
        return
    pixels = rng.integers(0, sizes[0] * sizes[1], (2, 5))
    rows = np.full((groups, 10, 6 // groups * kernel[0] * kernel[1]), 99, np.int8)
    gather(source, pixels, window, rows)
    assert (rows == obvious(source, pixels, window)).all()


@pytest.mark.parametrize(
    ("pixel", "shape", "message"),
    [(9, (1, 1, 4), "pixels: 9..9, expected 0..8"), (-1, (1, 1, 4), "pixels"), (0, (1, 1, 5), "rows: int8")],
)
def test_it_refuses_what_is_not_there(pixel: int, shape: tuple[int, ...], message: str) -> None:
    rows = np.zeros(shape, np.int8)
    with pytest.raises(ValueError, match=message):
        gather(np.zeros((1, 1, 4, 4), np.int8), np.array([[pixel]]), ConvolutionWindow(1, (2, 2)), rows)
