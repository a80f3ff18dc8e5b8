"""The cases of a survey - widths, accumulators, layers - one after the other, or side by side on workers."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from tvm_re2na.comparison_shards import one_at_a_time
from tvm_re2na.identity import identity
from tvm_re2na.parallel.journal import open_journal
from tvm_re2na.parallel.parcel import Handle
from tvm_re2na.parallel.shards import Job, run_all_shards
from tvm_re2na.parallel.worker_pool import open_worker_pool
from tvm_re2na.progress import silent
from tvm_re2na.survey.measure import SurveyedModel

Row = TypeVar("Row")


@dataclass(frozen=True)
class Workers:
    """Where cases run: on `executor`, or in `jobs` processes of this machine (one is this process). `resume`: a file that finished
    cases are noted in, and taken from."""

    executor: Executor | None = None
    jobs: int = 1
    resume: str | os.PathLike[str] | None = None


HERE = Workers()


def each_case(
    surveyed: SurveyedModel,
    survey: str,
    measure: Callable[..., Row],
    row: type[Row],
    cases: Sequence[tuple[Any, ...]],
    workers: Workers,
    **settings: Any,
) -> tuple[Row, ...]:
    """`measure(surveyed, *case)`, which is a `row` of plain fields, for each case in order.

    `settings`: what the rows follow from besides the surveyed. Raises what `measure` raises, JournalError or WorkersLostError.
    """

    def run() -> dict[str, object]:
        data = {"model": surveyed.model, "data": surveyed.images, "calibration": surveyed.calibration}
        return identity(f"survey {survey}", **data, **settings)

    with (
        open_worker_pool(workers.executor, workers.jobs) as pool,
        open_journal(workers.resume, run, len(cases)) as journal,
    ):
        here = pool.here and journal is None
        shown = surveyed if here else dataclasses.replace(surveyed, progress=silent)
        handle = pool.ship(shown)
        sizes = [len(surveyed.images)] * len(cases)
        job = Job(measure_case, lambda index: (handle, measure, cases[index]), sizes, lambda index: f"case {index + 1}")
        told = silent if here else surveyed.progress  # the surveyed model tells its own
        progress = functools.partial(told, f"survey {survey}")
        found = run_all_shards(pool, job, progress, journal)
    return tuple(row(**fields) for fields in found)


def measure_case(handle: Handle, measure: Callable[..., Any], case: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of one row."""
    with one_at_a_time:
        return dataclasses.asdict(measure(handle.open(_itself), *case))


def _itself(surveyed: SurveyedModel) -> SurveyedModel:
    return surveyed
