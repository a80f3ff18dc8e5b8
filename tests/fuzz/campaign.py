"""Damaged files by the thousand: the answer to each is a result, or one clean error.

    python -m tests.fuzz.campaign --kind onnx --count 5000 --seed 1 --jobs 2
    python -m tests.fuzz.campaign --kind onnx --seed 1 --case 123 --keep FILE     # one of them again, here

Each worker runs many cases, within 2 GiB; one that dies or hangs is a find, and another takes its place.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz.cases import KINDS, Answer, Bench, limit_memory

SECONDS = 120.0  # that a case may take: TVM builds the larger of these networks in half a minute


class _Worker:
    """A process of its own; `index`: the case it is at."""

    def __init__(self, kind: str, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=TARGET, args=(kind, seed, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.index: int | None = None
        self.until = 0.0

    def begin(self, index: int) -> None:
        self.pipe.send(index)
        self.index, self.until = index, time.monotonic() + SECONDS

    def end(self) -> Answer:
        """What became of the case; Answer.wrong where the process is lost with it."""
        if self.pipe.poll():
            try:
                answer: Answer = self.pipe.recv()
                return answer
            except (EOFError, ConnectionResetError):
                self.process.join()
                return Answer(False, f"crash: exit code {self.process.exitcode}")
        self.process.kill()
        return Answer(False, f"no end within {SECONDS:.0f} s")


def work(kind: str, seed: int, pipe: Connection) -> None:
    limit_memory()
    with tempfile.TemporaryDirectory(prefix="re2na-fuzz-") as folder:
        bench = Bench(kind, seed, Path(folder))
        while True:
            try:
                index = pipe.recv()
            except EOFError:
                return
            pipe.send(bench.run(index))


TARGET = work


def campaign(kind: str, seed: int, cases: range, jobs: int) -> Iterator[tuple[int, Answer]]:
    """Every case with its answer, in the order in which they end."""
    todo, workers = iter(cases), [_Worker(kind, seed) for _ in range(jobs)]
    for worker in workers:
        _next(worker, todo)
    while running := [worker for worker in workers if worker.index is not None]:
        left = min(worker.until for worker in running) - time.monotonic()
        ready = wait([worker.pipe for worker in running], max(0.0, left))
        for at, worker in enumerate(workers):
            if worker.index is None or not (worker.pipe in ready or time.monotonic() > worker.until):
                continue
            index, answer = worker.index, worker.end()
            yield index, answer
            if answer.wrong is not None and answer.wrong.startswith(("crash", "no end")):
                workers[at] = worker = _Worker(kind, seed)
            _next(worker, todo)
    for worker in workers:
        worker.pipe.close()
        worker.process.join()


def _next(worker: _Worker, todo: Iterator[int]) -> None:
    worker.index = None
    for index in todo:
        worker.begin(index)
        return


def main() -> int:
    """0 where no answer is wrong, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case: to split a campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--case", type=int, help="run one case in this process and show what it says")
    parser.add_argument("--keep", type=Path, help="where to put the file of that case")
    options = parser.parse_args()
    os.environ["RE2NA_CACHE_BYTES"] = "0"
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    return _one(options) if options.case is not None else _all(options)


def _one(options: Any) -> int:
    with tempfile.TemporaryDirectory(prefix="re2na-fuzz-") as folder:
        bench = Bench(options.kind, options.seed, Path(folder))
        if options.keep is not None:
            options.keep.write_bytes(bench.content(options.case)[1])
        answer = bench.run(options.case)
    print(answer)
    return int(answer.wrong is not None)


def _all(options: Any) -> int:
    start, found = time.monotonic(), Counter[str]()
    cases = range(options.first, options.first + options.count)
    for index, answer in campaign(options.kind, options.seed, cases, options.jobs):
        found["wrong" if answer.wrong is not None else "result" if answer.result else "error"] += 1
        if answer.wrong is not None:
            print(f"case {index}: {answer.wrong} {answer.said[:400]!r}", flush=True)
    seconds = time.monotonic() - start
    print(
        f"{options.kind}, seed {options.seed}: {len(cases)} files in {seconds:.0f} s, {found['result']} results,"
        f" {found['error']} clean errors, {found['wrong']} wrong answers"
    )
    return int(found["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
