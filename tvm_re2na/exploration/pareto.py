"""Which rows no other row beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[tuple[float, ...]]) -> list[bool]:
    """For each tuple of costs whether it is on the front: no other is as low in every cost and lower in one. Equals share it."""
    front: list[tuple[float, ...]] = []
    for cost in sorted(set(costs)):  # what beats a tuple sorts before it
        if not any(all(low <= high for low, high in zip(better, cost, strict=True)) for better in front):
            front.append(cost)
    kept = set(front)
    return [cost in kept for cost in costs]
