"""What workers do in these tests: functions that other processes can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataError
from tvm_re2na.exploration.point import compile_points
from tvm_re2na.parallel.parcel import Handle


def square(number: int) -> int:
    return number * number


def die_once(number: int, victim: int, marker: Path) -> int:
    """The worker with `victim` dies, the first time."""
    if number == victim and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_always(number: int, victim: int) -> int:
    if number == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise DataError(f"number {number} is refused")
    return number


class Odd(Exception):
    """Cannot be pickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_oddly(number: int) -> int:
    raise Odd(number, number)


def opened(handle: Handle, folder: Path) -> Any:
    """The content, and how many times this process has opened it."""
    content = handle.open(Opening(folder))
    return content, len(list(folder.iterdir()))


class Opening:
    """Leaves a file for every time that a content is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, content: Any) -> Any:
        (self.folder / f"{os.getpid()}.{len(list(self.folder.iterdir()))}").touch()
        return content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opening) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)


def threads_of(number: int) -> str | None:
    del number
    return os.environ.get("TVM_NUM_THREADS")


def wait_for_ever(number: int, folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    signal.pause()


def die_at_300_cycles(graphs: Handle, machines: list[Architecture]) -> list[dict[str, Any]]:
    """As compile_points, but for machines of one DRAM latency."""
    if machines[0].dram_latency == 300:
        os.kill(os.getpid(), signal.SIGKILL)
    return compile_points(graphs, machines)
