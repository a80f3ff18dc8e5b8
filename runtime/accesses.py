"""Which bytes an instruction reads and writes: those that the reference simulator touches, found from the fields alone.

Strides are honoured to the byte, and padding is not read. An Access lists no bytes until somebody asks for its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.isa import Instruction

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Access:
    """Bytes of one memory: a run of `run` of them at `base` plus one offset of each axis. Offsets ascend; there are some."""

    memory: str
    writes: bool
    base: int
    run: int
    axes: tuple[Ints, ...] = ()

    @property
    def start(self) -> int:
        """The first byte."""
        return self.base + sum(int(axis[0]) for axis in self.axes)

    @property
    def stop(self) -> int:
        """Behind the last byte."""
        return self.base + sum(int(axis[-1]) for axis in self.axes) + self.run

    @cached_property
    def runs(self) -> tuple[Ints, Ints]:
        """Where each run of bytes starts and where it ends; runs ascend and neither touch nor overlap."""
        starts = np.array([self.base], np.int64)
        for axis in self.axes:
            starts = np.add.outer(starts, axis).reshape(-1)
        starts.sort()
        edges = np.ones(starts.size + 1, np.bool_)
        np.greater(starts[1:], starts[:-1] + self.run, out=edges[1:-1])
        return starts[edges[:-1]], starts[edges[1:]] + self.run

    def first_common(self, other: Access) -> int | None:
        """The lowest address that both touch, if there is one; both are of the same memory."""
        starts, stops = self.runs
        other_starts, other_stops = other.runs
        behind = other_stops.searchsorted(
            starts, side="right"
        )  # the first of its runs that ends after each of mine starts
        there = behind < other_starts.size
        meeting = np.maximum(starts[there], other_starts[behind[there]])
        common = meeting[meeting < stops[there]]
        return int(common[0]) if common.size else None


def accesses(at: Instruction) -> tuple[Access, ...]:
    """Everything the instruction touches."""
    found = _OF[at.name](at) if at.name in _OF else ()
    return tuple(access for access in found if access.run and all(axis.size for axis in access.axes))


def _axis(count: int, stride: int) -> Ints:
    return np.arange(count if stride else min(count, 1), dtype=np.int64) * stride


def _read(base: int, run: int, *axes: Ints) -> Access:
    return Access("SRAM", False, base, run, axes)


def _write(base: int, run: int, *axes: Ints) -> Access:
    return Access("SRAM", True, base, run, axes)


def _transfer(at: Instruction, memory: str, writes: bool) -> Access:
    name = memory.lower()
    planes, rows = (_axis(at[f"{axis}s"], at[f"{name}_{axis}_stride"]) for axis in ("plane", "row"))
    return Access(memory, writes, at[f"{name}_addr"], at["bytes"], (planes, rows))


def _load(at: Instruction) -> Iterator[Access]:
    yield _transfer(at, "DRAM", writes=False)
    yield _transfer(at, "SRAM", writes=True)


def _store(at: Instruction) -> Iterator[Access]:
    yield _transfer(at, "SRAM", writes=False)
    yield _transfer(at, "DRAM", writes=True)


def _seen(at: Instruction, axis: str) -> Ints:
    """Rows (axis h) or columns (w) of the input that some window looks at."""
    place = "top" if axis == "h" else "left"
    first = np.arange(at[f"out_{axis}"]) * at[f"stride_{axis}"] - at[f"pad_{place}"]
    looked_at = np.add.outer(first, np.arange(at[f"kernel_{axis}"]) * at[f"dilation_{axis}"])
    there = np.zeros(at[f"in_{axis}"], np.bool_)
    there[looked_at[(looked_at >= 0) & (looked_at < there.size)]] = True
    return np.flatnonzero(there)


def _window(at: Instruction) -> Access:
    rows = _seen(at, "h") * at["in_row_stride"]
    columns = _seen(at, "w") * at["in_pixel_stride"]
    return _read(at["in_addr"], at["in_c"], _axis(at["n"], at["in_image_stride"]), rows, columns)


def _output(at: Instruction, channels: int) -> Access:
    axes = (("n", "image"), ("out_h", "row"), ("out_w", "pixel"))
    return _write(at["out_addr"], channels, *(_axis(at[count], at[f"out_{step}_stride"]) for count, step in axes))


def _conv(at: Instruction) -> Iterator[Access]:
    yield _window(at)
    yield _read(at["weight_addr"], at["kernel_h"] * at["kernel_w"] * (at["in_c"] // at["groups"]) * at["out_c"])
    yield _read(at["bias_addr"], 4 * at["out_c"])
    yield _output(at, at["out_c"])


def _dense(at: Instruction) -> Iterator[Access]:
    yield _read(at["in_addr"], at["in_c"], _axis(at["n"], at["in_image_stride"]))
    yield _read(at["weight_addr"], at["in_c"] * at["out_c"])
    if at["first"]:
        yield _read(at["bias_addr"], 4 * at["out_c"])
    if at["last"]:
        yield _write(at["out_addr"], at["out_c"], _axis(at["n"], at["out_image_stride"]))


def _pool(at: Instruction) -> Iterator[Access]:
    yield _window(at)
    yield _output(at, at["in_c"])


def _eltwise(at: Instruction) -> Iterator[Access]:
    yield _read(at["a_addr"], at["bytes"])
    if not at["unary"]:
        yield _read(at["b_addr"], at["bytes"])
    yield _write(at["out_addr"], at["bytes"])


_OF: dict[str, Callable[[Instruction], Iterator[Access]]] = {
    "LOAD": _load,
    "STORE": _store,
    "CONV": _conv,
    "DENSE": _dense,
    "POOL": _pool,
    "ELTWISE": _eltwise,
}
