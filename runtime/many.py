"""Many runs of one program side by side: a data set through the simulator, on as many cores as there are."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import TypeAlias

from tvm_re2na.runtime.library import LoadedProgram, Simulator, SimulatorError
from tvm_re2na.runtime.result import Int8Array, RunResult

Inputs: TypeAlias = Sequence[Int8Array]
WAITING = 2  # chunks handed out ahead, per worker
CHUNK_SECONDS = 0.02  # of work: a hand-over between threads can take Python's switch interval, 5 ms
MOST_RUNS = 1024  # in a chunk
MOST_BYTES = 1 << 24  # of a chunk's inputs and outputs, where it is more than one run


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_many(program: LoadedProgram, runs: Iterable[Inputs], workers: int | None = None) -> Iterator[RunResult]:
    """The result of each run, in the order of `runs`, each the int8 inputs of one run.

    `workers` machines (default: one for each processor) share the program. Runs go to them in chunks that take some hundredths of a
    second, and no more than a few chunks are held at a time. Raises what Simulator and its `run` raise, after the results of the
    runs before; ValueError for fewer than one worker.
    """
    count = processors() if workers is None else workers
    if count < 1:
        raise ValueError(f"workers = {count}: at least one is needed")
    idle: SimpleQueue[Simulator] = SimpleQueue()
    for _ in range(count):
        idle.put(Simulator(program))

    def work(inputs: Sequence[Inputs]) -> _Chunk:
        simulator = idle.get()
        try:
            return _run_chunk(simulator, inputs)
        finally:
            idle.put(simulator)

    coming, size, largest = iter(runs), 1, _most_runs(program)
    under_way: deque[Future[_Chunk]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            while chunk := list(islice(coming, size)):
                under_way.append(pool.submit(work, chunk))
                if len(under_way) > WAITING * count:
                    done = under_way.popleft().result()
                    yield from done.given()
                    size = min(done.suggested, largest)
            while under_way:
                yield from under_way.popleft().result().given()
        finally:
            for future in under_way:
                future.cancel()


@dataclass(frozen=True)
class _Chunk:
    """Results up to the first run that failed, and how many runs the next chunk should have."""

    results: list[RunResult]
    failure: Exception | None
    suggested: int

    def given(self) -> Iterator[RunResult]:
        yield from self.results
        if self.failure is not None:
            raise self.failure


def _run_chunk(simulator: Simulator, runs: Sequence[Inputs]) -> _Chunk:
    start = time.thread_time()  # not the clock: a thread that waits for others needs no smaller chunks
    try:
        results, failure = simulator.run_all(runs), None
    except (ValueError, SimulatorError):
        results, failure = _one_by_one(simulator, runs)
    seconds = (time.thread_time() - start) / len(runs)
    return _Chunk(results, failure, max(1, int(CHUNK_SECONDS / max(seconds, 1e-9))))


def _one_by_one(simulator: Simulator, runs: Sequence[Inputs]) -> tuple[list[RunResult], Exception | None]:
    """The results before the first run that fails, and why it does."""
    results: list[RunResult] = []
    for inputs in runs:
        try:
            results.append(simulator.run(inputs))
        except (ValueError, SimulatorError) as error:
            return results, error
    return results, None


def _most_runs(program: LoadedProgram) -> int:
    size = sum(math.prod(port.shape) for port in (*program.inputs, *program.outputs))
    return max(1, min(MOST_RUNS, MOST_BYTES // max(size, 1)))
