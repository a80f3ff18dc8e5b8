"""Shards on every kind of pool: each is done, in order, whoever is lost; what cannot be done is told."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.parallel import work
from tvm_re2na.data import DataError
from tvm_re2na.parallel.cuts import cut
from tvm_re2na.parallel.journal import open_journal
from tvm_re2na.parallel.shards import (
    Job,
    Lost,
    Results,
    VersionError,
    WorkersLostError,
    _guarded,
    run_all_shards,
    run_shards,
)
from tvm_re2na.parallel.worker_pool import CallersExecutor, Processes, ThisProcess, WorkerPool, open_worker_pool

COUNT = 9
SQUARES = [number * number for number in range(COUNT)]


def job(function: Callable[..., Any], *more: Any) -> Job:
    return Job(function, lambda index: (index, *more), [1] * COUNT, lambda index: f"shard {index}")


class Steps(list[tuple[int, int]]):
    """The progress that was told."""

    def __call__(self, done: int, of: int) -> None:
        self.append((done, of))


def quiet(done: int, of: int) -> None:
    del done, of


@pytest.fixture(scope="module")
def processes() -> Iterator[WorkerPool]:
    with open_worker_pool(None, 2) as pool:
        yield pool


def test_every_pool_gives_all_results_in_order(processes: WorkerPool) -> None:
    with ThreadPoolExecutor(3) as threads:
        for pool in (ThisProcess(), processes, CallersExecutor(threads)):
            steps = Steps()
            assert run_shards(pool, job(work.square), steps) == SQUARES
            assert steps == [(done, COUNT) for done in range(COUNT + 1)]


def test_what_follows_from_others_is_not_done(processes: WorkerPool, tmp_path: Path) -> None:
    """In the order that is asked for; what is known is no work, and is not noted either."""

    def known(index: int, results: Results) -> Any:
        asked.append(index)
        return f"from {sorted(results)}" if index < 3 and len(results) >= COUNT - 3 else None

    for pool in (ThisProcess(), processes):
        asked: list[int] = []
        steps = Steps()
        ordered = replace(job(work.square), order=list(reversed(range(COUNT))), known=known)
        with open_journal(tmp_path / type(pool).__name__, lambda: {"run": "squares"}, COUNT) as journal:
            found = run_shards(pool, ordered, steps, journal)
        assert asked == list(reversed(range(COUNT))) and steps[-1] == (COUNT, COUNT)
        assert found[3:] == SQUARES[3:]
        if pool.here:
            assert found[:3] == [f"from {list(range(first, COUNT))}" for first in (1, 2, 3)]
            assert len((tmp_path / "ThisProcess").read_bytes().splitlines()) == 1 + COUNT - 3


def test_a_lost_workers_shard_is_done_again(processes: WorkerPool, tmp_path: Path) -> None:
    steps = Steps()
    assert run_shards(processes, job(work.die_once, 4, tmp_path / "died"), steps) == SQUARES
    assert (tmp_path / "died").exists()
    assert steps == [(done, COUNT) for done in range(COUNT + 1)]


def test_a_shard_that_kills_its_workers_is_the_only_one_lost(processes: WorkerPool) -> None:
    results = run_shards(processes, job(work.die_always, 4), quiet)
    assert isinstance(results[4], Lost)
    assert results[4].reason.startswith("3 workers were lost (BrokenProcessPool: ")
    assert [*results[:4], *results[5:]] == [*SQUARES[:4], *SQUARES[5:]]
    with pytest.raises(WorkersLostError, match=r"shard 4: 3 workers were lost .*; 8 of 9 shards are done"):
        run_all_shards(processes, job(work.die_always, 4), quiet)


def test_a_broken_executor_of_the_caller_is_told() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
        results = run_shards(CallersExecutor(own), job(work.die_always, 2), quiet)
    lost = [result for result in results if isinstance(result, Lost)]
    assert lost
    assert all("BrokenProcessPool" in result.reason for result in lost)
    assert [result for result in results if not isinstance(result, Lost)] == SQUARES[: COUNT - len(lost)]


class Forgetful(Executor):
    """Loses every third task, as a cluster whose machines come and go, and takes on."""

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        self.taken += 1
        future: Future[Any] = Future()
        if self.taken % 3 == 0:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_result(function(*arguments))
        return future


def test_what_an_executor_cancels_is_submitted_again() -> None:
    assert run_shards(CallersExecutor(Forgetful()), job(work.square), quiet) == SQUARES


def test_an_error_of_the_work_is_raised_as_it_is(processes: WorkerPool) -> None:
    for pool in (ThisProcess(), processes):
        with pytest.raises(DataError, match="number 3 is refused") as caught:
            run_shards(pool, job(work.refuse), quiet)
        assert "in refuse" in str(caught.value.__cause__)
        with pytest.raises((RuntimeError, work.Odd), match=r"\d and \d"):  # Dask teaches exceptions to be pickled
            run_shards(pool, job(work.fail_oddly), quiet)


def test_a_worker_of_another_version_refuses() -> None:
    failed = _guarded("0.0.7", work.square, 3)
    assert isinstance(failed.error, VersionError)
    assert str(failed.error).endswith("the work comes from 0.0.7")


def test_content_is_opened_once_in_each_process(processes: WorkerPool, tmp_path: Path) -> None:
    for number, pool in enumerate((ThisProcess(), processes, CallersExecutor(ThreadPoolExecutor(2)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        content = {"x": list(range(1000))}
        handle = pool.ship(content)
        opening = Job(work.opened, lambda _, handle=handle, folder=folder: (handle, folder), [1] * 20, str)  # type: ignore[misc]
        assert all(found == content for found, _ in run_shards(pool, opening, quiet))
        openers = [path.name.split(".")[0] for path in folder.iterdir()]
        assert len(openers) == len(set(openers))


def test_no_more_are_under_way_than_there_is_memory_for() -> None:
    class Counting(Forgetful):
        waiting = most = 0

        def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            pending.append((future, arguments))
            self.most = max(self.most, sum(not item.done() for item, _ in pending))
            if len(pending) == COUNT or sum(not item.done() for item, _ in pending) == 3:
                for item, given in pending:
                    if not item.done():
                        item.set_result(function(*given))
            return future

    pending: list[tuple[Future[Any], Any]] = []
    counting = Counting()
    limited = Job(work.square, lambda index: (index,), [1] * COUNT, str, most=3)
    assert run_shards(CallersExecutor(counting), limited, quiet) == SQUARES
    assert counting.most == 3


def test_jobs_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_NUM_THREADS", raising=False)
    with open_worker_pool(None, 256) as pool:
        assert pool.submit(work.threads_of, 1).result() == "1"
    with pytest.raises(ValueError, match="jobs = 0"), open_worker_pool(None, 0):
        pass


def test_an_interrupted_run_leaves_no_workers(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_worker_pool(None, 2) as pool:
        assert isinstance(pool, Processes)
        pool.submit(work.wait_for_ever, 0, tmp_path)
        wait_until(lambda: any(tmp_path.iterdir()))
        raise KeyboardInterrupt
    assert not alive(int(next(tmp_path.iterdir()).name))


ORPHANS = """
import sys
from pathlib import Path
from tests.parallel import work
from tvm_re2na.parallel.worker_pool import open_worker_pool

if __name__ == "__main__":
    with open_worker_pool(None, 2) as pool:
        pool.submit(work.wait_for_ever, 0, Path(sys.argv[1])).result()
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script, marks = tmp_path / "orphans.py", tmp_path / "marks"
    script.write_text(ORPHANS)
    marks.mkdir()
    parent = subprocess.Popen(
        [sys.executable, script, marks], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )
    wait_until(lambda: any(marks.iterdir()))
    parent.kill()
    parent.wait()
    worker = int(next(marks.iterdir()).name)
    wait_until(lambda: not alive(worker))


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_images_are_cut_at_batches() -> None:
    cuts = cut(images=100, image_bytes=4, batch=3, wanted=7)
    assert (cuts.size, len(cuts), cuts.sizes()) == (9, 12, [9] * 11 + [1])
    assert [cuts.span(index) for index in (0, 11)] == [(0, 9), (99, 100)]
    assert cuts.name(1) == "images 9 to 17"
    assert cut(2000, 4 * 3 * 64 * 64, 1).size == 32
    assert cut(100_000, 4 * 3 * 64 * 64, 1).size == 64
    assert cut(100_000, 4 * 3 * 224 * 224, 1).size == 13
    assert cut(5, 1 << 30, 1).size == 1
    with pytest.raises(ValueError, match="shard = 0"):
        cut(5, 1, 1, 0)
