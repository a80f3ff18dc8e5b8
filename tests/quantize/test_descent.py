"""The descent in C against the obvious one: weight by weight, output by output."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tvm_re2na.quantize.rounding import WeightSearch, parts_of
from tvm_re2na.runtime.descent import descend


def obvious(gram: np.ndarray, left: np.ndarray, weight: np.ndarray, limits: tuple[int, int], sweeps: int) -> np.ndarray:
    """One output of one group, in double precision: gram (K, K), left and weight (K,)."""
    gram, left, weight = (value.astype(np.float64) for value in (gram, left, weight))
    for _ in range(sweeps):
        for i in range(len(weight)):
            best = np.clip(np.rint(weight[i] + left[i] / gram[i, i]), *limits)
            left -= gram[i] * (best - weight[i])
            weight[i] = best
    return weight


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 5),
    outputs=st.sampled_from([1, 2, 31, 32, 33, 70]),
    inputs=st.sampled_from([1, 7, 9, 31, 33, 63, 64, 65, 130]),
    limits=st.sampled_from([(-128, 127), (-8, 7), (-2, 1)]),
    sweeps=st.integers(0, 4),
    seed=st.integers(0, 10_000),
)
@example(groups=1, outputs=33, inputs=1100, limits=(-8, 7), sweeps=2, seed=0)  # more than a strip of the gradient
@example(groups=40, outputs=1, inputs=9, limits=(-128, 127), sweeps=4, seed=1)  # depthwise
def test_it_finds_what_the_obvious_descent_finds(
    groups: int, outputs: int, inputs: int, limits: tuple[int, int], sweeps: int, seed: int
) -> None:
    """All sums are integers below 2**24, so that their order makes no difference."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (groups, 20, inputs)).astype(np.float32)
    gram = rows.transpose(0, 2, 1) @ rows + 3 * np.eye(inputs, dtype=np.float32)
    left = rng.integers(-2000, 2000, (groups, outputs, inputs)).astype(np.float32)
    weight = rng.integers(limits[0], limits[1] + 1, left.shape).astype(np.float32)
    pairs = [(g, o) for g in range(groups) for o in range(outputs)]
    wanted = np.array([obvious(gram[g], left[g, o], weight[g, o], limits, sweeps) for g, o in pairs])
    descend(gram, left, weight, limits, sweeps)
    assert (weight.reshape(wanted.shape) == wanted).all()


def test_it_stops_where_nothing_moves() -> None:
    gram, weight = np.eye(3, dtype=np.float32)[None], np.array([[[1, 2, 3]]], np.float32)
    descend(gram, np.full_like(weight, 0.25), weight, (-8, 7), 2**32 - 1)
    assert weight.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gram", np.zeros((1, 3, 4), np.float32)),
        ("left", np.zeros((1, 3, 3), np.float32)),
        ("left", np.zeros((1, 2, 3))),
        ("weight", np.zeros((1, 3, 2), np.float32).transpose(0, 2, 1)),
    ],
)
def test_arrays_are_checked(name: str, value: np.ndarray) -> None:
    arrays = {"gram": np.ones((1, 3, 3), np.float32)}
    arrays |= {name: np.zeros((1, 2, 3), np.float32) for name in ("left", "weight")}
    with pytest.raises(ValueError, match=f"{name}: float.. .*expected contiguous float32"):
        descend(**{**arrays, name: value}, limits=(-8, 7), sweeps=1)


def test_a_search_leaves_what_it_starts_from() -> None:
    rng = np.random.default_rng(0)
    rows, scaled = rng.normal(size=(4, 50, 9)).astype(np.float32), rng.normal(0, 3, (4, 9, 1)).astype(np.float32)
    start = np.zeros_like(scaled)
    found = WeightSearch(rows, rows @ scaled, scaled, parts_of(50, 10)).run(1.0, scaled, start, (-8, 7))
    assert found.shape == scaled.shape and found.any() and not start.any()
