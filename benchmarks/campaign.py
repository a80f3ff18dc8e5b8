"""Trials by their seeds, in several processes: what the campaigns of random programs and random graphs share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Protocol, TypeVar

from tvm_re2na.cli.output import progress_bar


class Sum(Protocol):
    """Results that add up."""

    def add(self, other: Any) -> None: ...


Total = TypeVar("Total", bound=Sum)


def tally_of(chunk: Callable[[range], Total], total: Total, seeds: range, size: int, jobs: int, unit: str) -> Total:
    """`total` and what `chunk` finds for all seeds, `size` at a time; its field `unit` says how many are done."""
    chunks = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    with ProcessPoolExecutor(jobs) as pool, progress_bar() as progress:
        for done in as_completed([pool.submit(chunk, part) for part in chunks]):
            total.add(done.result())
            progress(unit, getattr(total, unit), len(seeds))
    return total
