"""Tiling of one unit: which strips of output rows, which slices of weights, in which order, in which buffers.

A strip is a run of whole images, or of rows of one image. A slice is a run of weight blocks. Either the slices are the outer loop
(each weight is loaded once) or the strips are (each input row is loaded once). The cheapest plan that fits the budget wins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import Block, conv_blocks, dense_blocks
from tvm_re2na.codegen.graph import Window
from tvm_re2na.codegen.memory import aligned
from tvm_re2na.codegen.units import DenseUnit, EltwiseUnit, RelayoutUnit, Shape4, Unit, WindowUnit

DENSE_CHUNK_BYTES = 128 * 1024  # a chunk of weights whose transfer hides the latency of the next one's


@dataclass(frozen=True)
class Strip:
    """Output rows y0..y1 of the images n0..n1; more than one image only with all rows."""

    n0: int
    n1: int
    y0: int
    y1: int

    @property
    def images(self) -> int:
        return self.n1 - self.n0

    @property
    def rows(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True)
class Where:
    """Which of a unit's tensors are resident in SRAM; the others stream through strip buffers."""

    inputs: tuple[bool, ...]
    output: bool


@dataclass(frozen=True)
class Tiling:
    """The chosen plan. `buffers`: bytes by role, where role[0] is the buffer's name and role[1] its index.

    `chunk`: steps of a dense layer's sum per weight buffer, or input rows per strip of a relayout.
    """

    strips: tuple[Strip, ...]
    slices: tuple[tuple[Block, ...], ...] = ((),)
    strips_outer: bool = False
    chunk: int = 0
    buffers: dict[tuple[str, int], int] = field(default_factory=dict)
    cost: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(aligned(size) for size in self.buffers.values())

    def count(self, role: str) -> int:
        """How many buffers take turns in `role`."""
        return sum(1 for name, _ in self.buffers if name == role)


def blocks_of(unit: Unit, arch: Architecture) -> list[Block]:
    """The unit's weight blocks; empty where it has none."""
    if isinstance(unit, DenseUnit):
        return dense_blocks(unit, arch)
    if isinstance(unit, WindowUnit) and unit.conv is not None:
        return conv_blocks(unit.conv, arch)
    return []


def tilings(unit: Unit, blocks: list[Block], where: Where, arch: Architecture) -> list[Tiling]:
    """All plans worth considering, cheapest first; a plan's `bytes` say whether it fits."""
    if isinstance(unit, DenseUnit):
        plans = list(_dense_tilings(unit, blocks, where, arch))
    elif isinstance(unit, WindowUnit):
        plans = list(_window_tilings(unit, blocks, where, arch))
    elif isinstance(unit, EltwiseUnit | RelayoutUnit):
        plans = list(_copy_tilings(unit, where))
    else:
        raise TypeError(f"no tiling for {type(unit).__name__}")
    return sorted(plans, key=lambda plan: plan.cost)


def source_rows(window: Window, first: int, last: int, height: int) -> tuple[int, int]:
    """Input rows that output rows first..last see, inside the image; empty where only padding is seen."""
    start = first * window.stride[0] - window.padding[0]
    stop = (last - 1) * window.stride[0] - window.padding[0] + window.reach[0]
    return min(max(start, 0), height), max(min(stop, height), 0)


def input_rows(unit: Unit, strip: Strip) -> tuple[int, int]:
    """Rows of the unit's input that a strip of its output needs."""
    if not isinstance(unit, WindowUnit):
        return strip.y0, strip.y1
    if strip.rows == unit.out_shape[2]:
        return 0, unit.in_shape[2]
    first, last = mid_rows(unit, strip)
    if unit.conv is None:
        return first, last
    return source_rows(unit.conv.window, first, last, unit.in_shape[2])


def mid_rows(unit: WindowUnit, strip: Strip) -> tuple[int, int]:
    """Rows between the convolution and the pooling that a strip needs (of the input, if there is only a pooling)."""
    if unit.pool is None:
        return strip.y0, strip.y1
    if strip.rows == unit.out_shape[2]:
        return 0, unit.mid_shape[2]
    return source_rows(unit.pool.window, strip.y0, strip.y1, unit.mid_shape[2])


def cut_strips(shape: Shape4, rows: int) -> tuple[Strip, ...]:
    """Strips of at most `rows` rows; as many whole images as `rows` holds, or rows of single images."""
    batch, _, height, _ = shape
    if rows >= height:
        images = rows // height
        return tuple(Strip(n, min(n + images, batch), 0, height) for n in range(0, batch, images))
    return tuple(Strip(n, n + 1, y, min(y + rows, height)) for n in range(batch) for y in range(0, height, rows))


def _row_choices(shape: Shape4) -> list[int]:
    batch, _, height, _ = shape
    images = {-(-batch // parts) for parts in range(1, batch + 1)}
    rows = {-(-height // parts) for parts in range(1, height + 1)}
    return [count * height for count in sorted(images, reverse=True)] + sorted(rows - {height}, reverse=True)


def _slice_choices(blocks: list[Block]) -> Iterator[tuple[tuple[Block, ...], ...]]:
    size = len(blocks)
    while size >= 1:
        yield tuple(tuple(blocks[start : start + size]) for start in range(0, len(blocks), size))
        size = -(-size // 2) if size > 1 else 0
    if not blocks:
        yield ((),)


def _window_tilings(unit: WindowUnit, blocks: list[Block], where: Where, arch: Architecture) -> Iterator[Tiling]:
    resident = where.inputs[0] and where.output and unit.pool is None
    choices = [
        rows for rows in _row_choices(unit.out_shape) if rows % unit.out_shape[2] == 0 or not _sees_only_padding(unit)
    ]
    for rows in choices[:1] if resident else choices:
        strips = cut_strips(unit.out_shape, rows)
        for slices in _slice_choices(blocks):
            for strips_outer in (False, True) if len(strips) > 1 and len(slices) > 1 else (False,):
                for turns in (2, 1):
                    yield _window_tiling(unit, where, strips, slices, strips_outer, turns, arch)


def _sees_only_padding(unit: WindowUnit) -> bool:
    """Whether some output row may see no input row at all; a strip of such rows would have no input."""
    windows = [step.window for step in (unit.conv, unit.pool) if step is not None]
    return any(max(window.padding[0], window.padding[2]) >= window.reach[0] for window in windows)


def _window_tiling(
    unit: WindowUnit,
    where: Where,
    strips: tuple[Strip, ...],
    slices: tuple[tuple[Block, ...], ...],
    strips_outer: bool,
    turns: int,
    arch: Architecture,
) -> Tiling:
    _, channels, _, width = unit.in_shape
    in_sizes = [(strip.images * _span(input_rows(unit, strip))) * width * channels for strip in strips]
    slice_sizes = [sum(block.bytes for block in blocks) for blocks in slices]
    slice_channels = max((sum(block.out_c for block in blocks) for blocks in slices if blocks), default=channels)
    buffers = _turns("weight", max(slice_sizes), min(turns, len(slices)))
    if not where.inputs[0]:
        buffers |= _turns("in", max(in_sizes), min(turns, len(strips)))
    if unit.conv is not None and unit.pool is not None:
        tallest = max(strip.images * _span(mid_rows(unit, strip)) for strip in strips)
        buffers |= _turns("mid", tallest * unit.mid_shape[3] * slice_channels, 1)
    if not where.output:
        per_pixel = unit.out_shape[1] if strips_outer or len(slices) == 1 else slice_channels
        stored = min(turns, len(strips) if strips_outer else len(strips) * len(slices))
        buffers |= _turns(
            "out", max(strip.images * strip.rows for strip in strips) * unit.out_shape[3] * per_pixel, stored
        )
    input_loads = 1 if strips_outer or len(strips) == 1 else len(slices)
    weight_loads = len(strips) if strips_outer else 1
    traffic = sum(slice_sizes) * weight_loads
    traffic += 0 if where.inputs[0] else sum(in_sizes) * input_loads
    traffic += 0 if where.output else _bytes(unit.out_shape)
    first = slice_sizes[0] + (0 if where.inputs[0] else in_sizes[0])
    cycles = sum(_compute(unit, strip, block, arch) for strip in strips for blocks in slices for block in blocks)
    alternating = turns == 2 or len(strips) * len(slices) == 1
    return _plan(strips, slices, strips_outer, buffers, traffic, cycles, first, alternating, arch)


def _compute(unit: WindowUnit, strip: Strip, block: Block, arch: Architecture) -> int:
    pixels = strip.images * _span(mid_rows(unit, strip)) * unit.mid_shape[3]
    return -(-pixels // arch.array_columns) * block.steps * arch.mac_interval


def _plan(
    strips: tuple[Strip, ...],
    slices: tuple[tuple[Block, ...], ...],
    strips_outer: bool,
    buffers: dict[tuple[str, int], int],
    traffic: int,
    cycles: int,
    first: int,
    alternating: bool,
    arch: Architecture,
) -> Tiling:
    """Traffic, then time, then memory. Compute and transfers overlap where buffers alternate; otherwise they add up."""
    bandwidth = arch.dram_bytes_per_cycle
    transfers = len(strips) * len(slices) * arch.dram_latency if len(strips) > 1 else 0
    overlapped = max if alternating else _sum
    time = overlapped(cycles, traffic // bandwidth) + first // bandwidth + transfers
    size = sum(aligned(count) for count in buffers.values())
    return Tiling(strips, slices, strips_outer, 0, buffers, (traffic, time, size))


def _dense_tilings(unit: DenseUnit, blocks: list[Block], where: Where, arch: Architecture) -> Iterator[Tiling]:
    strip = (Strip(0, unit.in_shape[0], 0, 1),)
    widest = max(block.out_c for block in blocks)
    border = {} if where.inputs[0] else _turns("in", _bytes(unit.in_shape), 1)
    border |= {} if where.output else _turns("out", _bytes(unit.out_shape), 1)
    chunk = max(1, min(unit.in_shape[1], DENSE_CHUNK_BYTES // widest))
    while chunk >= 1:
        chunks = sum(-(-block.steps // chunk) for block in blocks)
        largest = max(block.bias_bytes + min(chunk, block.steps) * block.out_c for block in blocks)
        for turns in (2, 1):
            buffers = border | _turns("weight", largest, min(turns, chunks))
            cost = (int(turns < min(2, chunks)), chunks, sum(aligned(size) for size in buffers.values()))
            yield Tiling(strip, tuple((block,) for block in blocks), False, chunk, buffers, cost)
        chunk //= 2


def _copy_tilings(unit: Unit, where: Where) -> Iterator[Tiling]:
    outer = unit.out_shape
    inner = unit.in_shape
    for rows, turns in itertools.product(_row_choices(outer), (2, 1)):
        strips = cut_strips(outer, rows)
        in_rows = max(1, _strip_bytes(outer, strips) // (inner[1] * inner[3]))
        in_strips = cut_strips(inner, in_rows) if isinstance(unit, RelayoutUnit) else strips
        buffers: dict[tuple[str, int], int] = {}
        for index, resident in enumerate(where.inputs):
            if not resident:
                buffers |= _turns(
                    f"in{index}" if index else "in", _strip_bytes(inner, in_strips), min(turns, len(in_strips))
                )
        if not where.output:
            buffers |= _turns("out", _strip_bytes(outer, strips), min(turns, len(strips)))
        size = sum(aligned(count) for count in buffers.values())
        yield Tiling(strips, ((),), False, in_rows, buffers, (len(strips), -turns, size))


def _strip_bytes(shape: Shape4, strips: tuple[Strip, ...]) -> int:
    return max(strip.images * strip.rows for strip in strips) * shape[3] * shape[1]


def _turns(role: str, size: int, uses: int) -> dict[tuple[str, int], int]:
    """Two buffers where there is something to overlap, one where there is not, none of no size."""
    return {(role, index): size for index in range(min(2, uses))} if size else {}


def _sum(first: int, second: int) -> int:
    return first + second


def _span(rows: tuple[int, int]) -> int:
    return max(0, rows[1] - rows[0])


def _bytes(shape: Shape4) -> int:
    return shape[0] * shape[1] * shape[2] * shape[3]
