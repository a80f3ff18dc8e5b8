"""A fixed part of the campaign of `benchmarks/random_graphs.py`: some 20,000 layers."""

from __future__ import annotations

import pytest

from tests.codegen.corners import trial

GRAPHS = 3000
PACK = 100


@pytest.mark.parametrize("first", range(0, GRAPHS, PACK))
def test_corners_give_the_same_bits_everywhere(first: int) -> None:
    trials = {seed: trial(seed) for seed in range(first, first + PACK)}
    assert {seed: found.problem for seed, found in trials.items() if found.problem} == {}
    assert sum(found.layers for found in trials.values()) > 6 * PACK
    assert sum(found.refused for found in trials.values()) < PACK
