"""Where shards run: in this process, in processes of its own, or wherever an executor takes them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tvm_re2na.parallel import dask
from tvm_re2na.parallel.parcel import Handle, Here, pack, pack_into
from tvm_re2na.runtime.many import processors

UNKNOWN_WORKERS = 1024  # shards under way on an executor that does not say how many workers it has


class WorkerPool(Protocol):
    """`window`: how many shards are worth having under way. `here`: shards run in this process, one after the other."""

    @property
    def here(self) -> bool: ...

    @property
    def window(self) -> int: ...

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Raises whatever an executor raises that takes no more."""

    def renew(self) -> bool:
        """After workers were lost and `submit` failed: whether it works again."""

    def warm(self, function: Callable[[], Any]) -> None:
        """Let the workers load what they will need, while this process still prepares their work."""

    def ship(self, content: Any) -> Handle:
        """Content for many shards, to be given to each as an argument of its own."""


class ThisProcess:
    """No workers: a shard runs when it is submitted."""

    here, window = True, 1

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def renew(self) -> bool:
        return False

    def warm(self, function: Callable[[], Any]) -> None:
        pass

    def ship(self, content: Any) -> Handle:
        return Here(content)


class Processes:
    """New processes (a fork of a process with TVM's threads may hang), which share the processors."""

    here = False

    def __init__(self, jobs: int) -> None:
        self.window = 2 * jobs
        self._jobs = jobs
        self._folder = tempfile.TemporaryDirectory(prefix="re2na-")
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        threads = max(1, processors() // self._jobs)
        return ProcessPoolExecutor(self._jobs, context, initializer=_start_worker, initargs=(threads,))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        return self._pool.submit(function, *arguments)

    def renew(self) -> bool:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()
        return True

    def warm(self, function: Callable[[], Any]) -> None:
        for _ in range(self._jobs):
            self._pool.submit(function)

    def ship(self, content: Any) -> Handle:
        return pack_into(Path(self._folder.name), content)

    def close(self, kill: bool) -> None:
        """`kill`: what the workers are doing is wanted no more."""
        if kill:
            processes = getattr(self._pool, "_processes", None) or {}  # a pool has no public way before Python 3.14
            for process in list(processes.values()):
                process.terminate()
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()


class CallersExecutor:
    """The caller's executor, which stays open."""

    here, window = False, UNKNOWN_WORKERS

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        return self._executor.submit(function, *arguments)

    def renew(self) -> bool:
        return False

    def warm(self, function: Callable[[], Any]) -> None:
        pass  # how many workers there are is not known

    def ship(self, content: Any) -> Handle:
        return dask.ship(self._executor, pack(content))


@contextmanager
def open_worker_pool(executor: Executor | None, jobs: int) -> Iterator[WorkerPool]:
    """The caller's executor, or `jobs` processes; one job is this process. Raises ValueError for fewer."""
    if jobs < 1:
        raise ValueError(f"jobs = {jobs}: at least one is needed")
    if executor is not None:
        yield CallersExecutor(executor)
    elif jobs == 1:
        yield ThisProcess()
    else:
        own = Processes(jobs)
        done = False
        try:
            yield own
            done = True
        finally:
            own.close(kill=not done)


def _start_worker(threads: int) -> None:
    """Ctrl-C is for the parent; a worker ends with it, however it ends, and takes its share of the processors."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("TVM_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
