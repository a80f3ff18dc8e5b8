"""The loop around a pool of workers: every shard is done once, a lost worker's again; what is done is noted at once."""

from __future__ import annotations

import functools
import importlib.metadata
import pickle
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeAlias

from tvm_re2na.codegen.errors import WORKERS_LOST, Re2naError
from tvm_re2na.parallel.journal import Journal
from tvm_re2na.parallel.worker_pool import WorkerPool

Results: TypeAlias = Mapping[int, Any]  # of the shards that are done
ShardProgress: TypeAlias = Callable[[int, int], None]  # (done, total)
MOST_LOSSES = 3  # of a shard; before the last of them it runs alone, so that no other is blamed


class WorkersLostError(Re2naError, RuntimeError):
    """Workers were lost again and again; the message names the shard and how much is done."""

    exit_code = WORKERS_LOST


class VersionError(Re2naError, RuntimeError):
    """A worker has other versions than the process that sends it work; the message names both."""

    exit_code = WORKERS_LOST


@dataclass(frozen=True)
class Lost:
    """In place of a result: why there is none."""

    reason: str


@dataclass(frozen=True)
class Job:
    """`work(*arguments(index))` for each shard. `sizes`: what each counts in the progress. `name(index)`: for messages.

    Arguments are made when a shard is submitted, and no more than `most` are under way. Results are JSON where there is a journal.
    `order`: in which shards are taken, by default that of their numbers. `known(index, results)` is asked when a shard's turn
    comes: its result where it follows from those of others, so that there is nothing to do or to note; None where there is.
    """

    work: Callable[..., Any]
    arguments: Callable[[int], tuple[Any, ...]]
    sizes: Sequence[int]
    name: Callable[[int], str]
    most: int = 1 << 30
    order: Sequence[int] | None = None
    known: Callable[[int, Results], Any] | None = None


class _Failed:
    """An error of the work itself, as a result: what a future raises is the pool's."""

    def __init__(self, error: Exception) -> None:
        self.trace = traceback.format_exc()
        try:
            self.error = pickle.loads(pickle.dumps(error))
        except Exception:
            self.error = RuntimeError(f"{type(error).__name__}: {error}")


class _RemoteError(Exception):
    """The cause of an error: its traceback in the worker."""

    def __str__(self) -> str:
        return f"in a worker\n{self.args[0]}"


def run_shards(pool: WorkerPool, job: Job, progress: ShardProgress, journal: Journal | None = None) -> list[Any]:
    """The result of every shard in order, or Lost where workers were lost with it MOST_LOSSES times or the pool is broken.

    An error of the work itself is raised; what is done by then is in the journal.
    """
    loop = _Loop(pool, job, progress, journal)
    try:
        while loop.todo or loop.running:
            loop.submit()
            loop.collect()
    finally:
        for future in loop.running:
            future.cancel()
    return [loop.results[index] for index in range(len(job.sizes))]


def run_all_shards(pool: WorkerPool, job: Job, progress: ShardProgress, journal: Journal | None = None) -> list[Any]:
    """As run_shards; raises WorkersLostError instead of Lost."""
    results = run_shards(pool, job, progress, journal)
    lost = [index for index, result in enumerate(results) if isinstance(result, Lost)]
    if lost:
        done = f"{len(results) - len(lost)} of {len(results)} shards are done"
        raise WorkersLostError(f"{job.name(lost[0])}: {results[lost[0]].reason}; {done}")
    return results


class _Loop:
    def __init__(self, pool: WorkerPool, job: Job, progress: ShardProgress, journal: Journal | None) -> None:
        self.pool, self.job, self.journal, self._progress = pool, job, journal, progress
        self.results: dict[int, Any] = dict(journal.found) if journal else {}
        order = range(len(job.sizes)) if job.order is None else job.order
        self.todo = deque(index for index in order if index not in self.results)
        self.running: dict[Future[Any], int] = {}
        self._losses: Counter[int] = Counter()
        self._barren = 0  # losses since a shard was done
        self._done = sum(job.sizes[index] for index in self.results)
        self._progress(self._done, sum(job.sizes))

    def submit(self) -> None:
        """Fill the window; a shard that was lost all but too often waits until nothing else runs, and nothing else for it."""
        window = min(self.pool.window, self.job.most)
        while self.todo and len(self.running) < window:
            suspect = self._losses[self.todo[0]] >= MOST_LOSSES - 1
            if suspect and self.running:
                return
            index = self.todo.popleft()
            known = self.job.known(index, self.results) if self.job.known is not None else None
            if known is not None:
                self._take(index, known)
                continue
            arguments = self.job.arguments(index)
            try:
                future = self.pool.submit(_guarded, _version(), self.job.work, *arguments)
            except Exception as error:
                self.todo.appendleft(index)
                self._broken(error)
                return
            self.running[future] = index
            if suspect:
                return

    def collect(self) -> None:
        """Take what has finished, in the order of the shards."""
        for future in sorted(wait(self.running, return_when=FIRST_COMPLETED).done, key=self.running.__getitem__):
            index = self.running.pop(future)
            try:
                result = future.result()
            except BaseException as error:  # CancelledError is none of Exception's in every pool
                if isinstance(error, KeyboardInterrupt):
                    raise
                self._lost(index, error)
            else:
                self._finish(index, result)

    def _finish(self, index: int, result: Any) -> None:
        if isinstance(result, _Failed):
            raise result.error from _RemoteError(result.trace)
        self._barren = 0
        if self.journal is not None:
            self.journal.add(index, result)
        self._take(index, result)

    def _take(self, index: int, result: Any) -> None:
        self.results[index] = result
        self._done += self.job.sizes[index]
        self._progress(self._done, sum(self.job.sizes))

    def _lost(self, index: int, error: BaseException) -> None:
        self._losses[index] += 1
        self._barren += 1
        if self._losses[index] < MOST_LOSSES:
            self.todo.appendleft(index)
        else:
            self.results[index] = Lost(f"{MOST_LOSSES} workers were lost ({_text(error)})")

    def _broken(self, error: Exception) -> None:
        """Nothing can be submitted: start anew, or give up what is left."""
        while self.running:
            self.collect()
        if self._barren <= MOST_LOSSES * self.pool.window and self.pool.renew():
            return
        for index in self.todo:
            self.results[index] = Lost(f"the executor takes no more ({_text(error)})")
        self.todo.clear()


def _guarded(version: str, work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        if version != _version():
            raise VersionError(f"a worker has tvm_re2na {_version()}; the work comes from {version}")
        return work(*arguments)
    except Exception as error:
        return _Failed(error)


@functools.cache
def _version() -> str:
    return importlib.metadata.version("tvm_re2na")


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
