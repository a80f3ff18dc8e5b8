"""Which bytes an instruction touches, found from its fields alone.

Strides are honoured to the byte, and padding is not read. Where a bitmap decides at run time which inputs a sum takes, all count
that its window can see. An Access lists no bytes until somebody asks for its runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.machine import Ints


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
        # the first of its runs that ends after each of mine starts
        behind = other_stops.searchsorted(starts, side="right")
        there = behind < other_starts.size
        meeting = np.maximum(starts[there], other_starts[behind[there]])
        common = meeting[meeting < stops[there]]
        return int(common[0]) if common.size else None


def axis(count: int, stride: int) -> Ints:
    return np.arange(count if stride else min(count, 1), dtype=np.int64) * stride


def read(base: int, run: int, *axes: Ints) -> Access:
    return Access("SRAM", False, base, run, axes)


def write(base: int, run: int, *axes: Ints) -> Access:
    return Access("SRAM", True, base, run, axes)


def _seen(at: Instruction, side: str, outputs: int) -> Ints:
    """Rows (axis h) or columns (w) of the input that some window looks at."""
    first = np.arange(outputs) * at[f"stride_{side}"] - at["pad_top" if side == "h" else "pad_left"]
    looked_at = np.add.outer(first, np.arange(at[f"kernel_{side}"]) * at[f"dilation_{side}"])
    there = np.zeros(at[f"in_{side}"], np.bool_)
    there[looked_at[(looked_at >= 0) & (looked_at < there.size)]] = True
    return np.flatnonzero(there)


def window(at: Instruction, rows: int, columns: int) -> Access:
    """What the windows of rows x columns results see."""
    y, x = _seen(at, "h", rows) * at["in_row_stride"], _seen(at, "w", columns) * at["in_pixel_stride"]
    return read(at["in_addr"], at["in_c"], axis(at["n"], at["in_image_stride"]), y, x)


def pixels(at: Instruction, tensor: str) -> tuple[Ints, Ints, Ints]:
    """Axes of the pixels that are written, in the strides of `out` or `add`."""
    images, rows = axis(at["n"], at[f"{tensor}_image_stride"]), axis(at["out_h"], at[f"{tensor}_row_stride"])
    return images, rows, axis(at["out_w"], at[f"{tensor}_pixel_stride"])


def lines(at: Instruction, steps: int) -> Iterator[Access]:
    """Lines of weights, and the bitmap that says which of `steps` steps they belong to, if any is left out."""
    yield read(at["weight_addr"], at["steps"] * at["out_c"])
    if at["steps"] < steps:
        yield read(at["mask_addr"], -(-steps // 8))
