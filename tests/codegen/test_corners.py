"""A fixed part of the campaign of `benchmarks/random_graphs.py`: some 10,000 layers, with RE2NA_SLOW=1 twice as many."""

from __future__ import annotations

import os

import pytest

from tests.codegen.corners import trial

GRAPHS = 3000 if "RE2NA_SLOW" in os.environ else 1500
PACK = 100


@pytest.mark.parametrize("first", range(0, GRAPHS, PACK))
def test_corners_give_the_same_bits_everywhere(first: int) -> None:
    trials = {seed: trial(seed) for seed in range(first, first + PACK)}
    assert {seed: found.problem for seed, found in trials.items() if found.problem} == {}
    assert sum(found.layers for found in trials.values()) > 6 * PACK
    assert sum(found.refused for found in trials.values()) < PACK
