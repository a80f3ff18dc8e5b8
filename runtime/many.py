"""Many runs of one program side by side: a data set through the simulator, on as many cores as there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from tvm_re2na.runtime.library import LoadedProgram, Simulator
from tvm_re2na.runtime.result import Int8Array, RunResult

WAITING = 2  # runs handed out ahead, per worker


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_many(
    program: LoadedProgram, runs: Iterable[Sequence[Int8Array]], workers: int | None = None
) -> Iterator[RunResult]:
    """The result of each run, in the order of `runs`, each the int8 inputs of one run; no more than a few are held at a time.

    `workers` machines (default: one for each processor) share the program. Raises what Simulator and its `run` raise, ValueError
    for fewer than one worker.
    """
    count = processors() if workers is None else workers
    if count < 1:
        raise ValueError(f"workers = {count}: at least one is needed")
    idle: SimpleQueue[Simulator] = SimpleQueue()
    for _ in range(count):
        idle.put(Simulator(program))

    def work(inputs: Sequence[Int8Array]) -> RunResult:
        simulator = idle.get()
        try:
            return simulator.run(inputs)
        finally:
            idle.put(simulator)

    under_way: deque[Future[RunResult]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for inputs in runs:
                under_way.append(pool.submit(work, inputs))
                if len(under_way) > WAITING * count:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
