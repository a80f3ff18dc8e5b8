"""An instruction cut into tiles, as many results as a corner of the array computes at once. Follows docs/isa.md."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from vectors import Step, read_hex

Address: TypeAlias = int | None  # None: padding
Pixel: TypeAlias = tuple[int, int, int]  # image, row, column


@dataclass(frozen=True)
class Result:
    """`channels` results side by side from `address`, from `columns` of the array; of several the maximum. What lies side by side
    from `second` is added."""

    columns: list[int]
    address: int
    channels: int
    second: int | None = None


@dataclass
class Tile:
    """`start`: the sum that each PE begins with, [row + rows * column]. `steps`: the address of the first weight, and of the input
    of each column. `windows`: instead of steps, the bytes that a row is shown. `sums`: instead of results, what each PE is left
    with, None where nobody asks.
    """

    start: list[int] = field(default_factory=list)
    steps: list[tuple[int, list[Address]]] = field(default_factory=list)
    windows: list[Address] = field(default_factory=list)
    lsb: list[int] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    sums: list[int | None] = field(default_factory=list)


class NotReplayed(Exception):
    """The array of this folder cannot do the instruction; the message says why."""


def tiles(step: Step, rows: int, columns: int) -> list[Callable[[], Tile]]:
    """All tiles of an instruction, each made when it is called. Raises NotReplayed."""
    kinds = {"CONV": conv_tiles, "DENSE": dense_tiles, "POOL": pool_tiles, "ELTWISE": eltwise_tiles}
    if step.instruction["name"] not in kinds:
        raise NotReplayed("it computes nothing, or by a table")
    return kinds[step.instruction["name"]](step, rows, columns)


def conv_tiles(step: Step, rows: int, columns: int) -> list[Callable[[], Tile]]:
    window, of_group = step["pool_h"] * step["pool_w"], step["out_c"] // step["groups"]
    if window > columns:
        raise NotReplayed(f"it keeps the maximum of {window} results, there are {columns} columns")
    firsts = [group * of_group + c for group in range(step["groups"]) for c in range(0, of_group, rows)]
    pieces = itertools.product(firsts, chunks(outputs(step), columns // window))
    return [partial(conv_tile, step, first, pixels, rows, columns) for first, pixels in pieces]


def conv_tile(step: Step, first: int, pixels: list[Pixel], rows: int, columns: int) -> Tile:
    """Output channels from `first`, as far as rows and the group go, of some pixels of the output. Where the instruction is a part
    of a sum, sums come from the SRAM or go there."""
    in_group, of_group = step["in_c"] // step["groups"], step["out_c"] // step["groups"]
    window, group = step["pool_h"] * step["pool_w"], first // of_group
    count = min(rows, (group + 1) * of_group - first)
    seen = list(windows_of(step, pixels))
    if step["first"]:
        starts = [bias(step, first + row) if row < count else 0 for row in range(rows)] * columns
    else:
        starts = [parked or 0 for parked in sums_of(step, step.sram, first, count, seen, rows)]
        starts += [0] * (rows * columns - len(starts))
    tile = Tile(starts, lsb=[lsb(step, first + row) if row < count else 0 for row in range(rows)])
    kernel = list(itertools.product(range(step["kernel_h"]), range(step["kernel_w"]), range(in_group)))
    for line, k in enumerate(present(step, len(kernel))):
        ky, kx, channel = kernel[k]
        inputs = [input_address(step, *pixel, ky, kx, group * in_group + channel) for pixel in seen]
        tile.steps.append((step["weight_addr"] + line * step["out_c"] + first, inputs))
    if not step["last"]:
        tile.sums = list(sums_of(step, step.sram_after, first, count, seen, rows))
        return tile
    for at, pixel in enumerate(pixels):
        mine = list(range(at * window, (at + 1) * window))
        second = out_address(step, *pixel, "add") + first if step["add"] else None
        tile.results.append(Result(mine, out_address(step, *pixel) + first, count, second))
    return tile


def dense_tiles(step: Step, rows: int, columns: int) -> list[Callable[[], Tile]]:
    pieces = itertools.product(range(step["n"]), range(0, step["out_c"], rows * columns))
    return [partial(dense_tile, step, image, first, rows, columns) for image, first in pieces]


def dense_tile(step: Step, image: int, first: int, rows: int, columns: int) -> Tile:
    """Outputs from `first`, one for each PE. Where the instruction is a part of a layer, sums come from the PEs or stay there."""
    outs, pes = step["out_c"], rows * columns
    mine = range(first, min(first + pes, outs))
    if step["first"]:
        starts = [bias(step, out) for out in mine]
    else:
        sums = read_hex(step.path("before", "sums"))
        starts = [sums[image * outs + out] for out in mine]
    base = step["in_addr"] + image * step["in_image_stride"]
    tile = Tile(starts + [0] * (pes - len(mine)), lsb=[step["lsb"]] * rows)
    for line, k in enumerate(present(step, step["in_c"])):
        tile.steps.append((step["weight_addr"] + line * outs + first, [base + k] * columns))
    if step["last"]:
        target = step["out_addr"] + image * step["out_image_stride"] + first
        for column, at in enumerate(range(0, len(mine), rows)):
            tile.results.append(Result([column], target + at, min(rows, len(mine) - at)))
    else:
        sums = read_hex(step.path("after", "sums"))
        tile.sums = [sums[image * outs + out] for out in mine]
    return tile


def pool_tiles(step: Step, rows: int, columns: int) -> list[Callable[[], Tile]]:
    del columns
    pieces = itertools.product(outputs(step), range(0, step["in_c"], rows))
    return [partial(pool_tile, step, pixel, first, rows) for pixel, first in pieces]


def pool_tile(step: Step, pixel: Pixel, first: int, rows: int) -> Tile:
    kernel = itertools.product(range(step["kernel_h"]), range(step["kernel_w"]))
    shown = [input_address(step, *pixel, ky, kx, first) for ky, kx in kernel]
    result = Result([], out_address(step, *pixel) + first, min(rows, step["in_c"] - first))
    return Tile(windows=shown, lsb=[0] * rows, results=[result])


def eltwise_tiles(step: Step, rows: int, columns: int) -> list[Callable[[], Tile]]:
    del columns
    return [partial(eltwise_tile, step, first, rows) for first in range(0, step["bytes"], rows)]


def eltwise_tile(step: Step, first: int, rows: int) -> Tile:
    second = None if step["unary"] else step["b_addr"] + first
    result = Result([], step["out_addr"] + first, min(rows, step["bytes"] - first), second)
    return Tile(windows=[step["a_addr"] + first], lsb=[0] * rows, results=[result])


# ---- where operands and results lie


def outputs(step: Step) -> list[Pixel]:
    return list(itertools.product(range(step["n"]), range(step["out_h"]), range(step["out_w"])))


def windows_of(step: Step, pixels: Iterable[Pixel]) -> Iterator[Pixel]:
    """The results of a convolution whose maximum each of `pixels` is."""
    window = list(itertools.product(range(step["pool_h"]), range(step["pool_w"])))
    for (image, y, x), (dy, dx) in itertools.product(pixels, window):
        yield image, y * step["pool_h"] + dy, x * step["pool_w"] + dx


def input_address(step: Step, image: int, y: int, x: int, ky: int, kx: int, channel: int) -> Address:
    row = y * step["stride_h"] - step["pad_top"] + ky * step["dilation_h"]
    column = x * step["stride_w"] - step["pad_left"] + kx * step["dilation_w"]
    if not (0 <= row < step["in_h"] and 0 <= column < step["in_w"]):
        return None
    place = image * step["in_image_stride"] + row * step["in_row_stride"] + column * step["in_pixel_stride"]
    return step["in_addr"] + place + channel


def out_address(step: Step, image: int, y: int, x: int, side: str = "out") -> int:
    """Of a pixel of the output; `side` = add: of the second operand, which has its shape."""
    row, column = y * step[f"{side}_row_stride"], x * step[f"{side}_pixel_stride"]
    return step[f"{side}_addr"] + image * step[f"{side}_image_stride"] + row + column


def present(step: Step, k: int) -> list[int]:
    """The steps that have a line of weights."""
    if step["steps"] == k:
        return list(range(k))
    bits = (step.sram[step["mask_addr"] + at // 8] >> at % 8 & 1 for at in range(k))
    return [at for at, bit in enumerate(bits) if bit][: step["steps"]]


def bias(step: Step, channel: int) -> int:
    return word(step.sram, step["bias_addr"] + 4 * channel)


def word(sram: dict[int, int], address: int) -> int:
    return int.from_bytes(bytes(sram[address + at] for at in range(4)), "little", signed=True)


def sums_of(
    step: Step, sram: dict[int, int], first: int, count: int, pixels: Iterable[Pixel], rows: int
) -> Iterator[int | None]:
    """Of each pixel, the parked sums of `count` channels, for an array of `rows`."""
    height, width = step["out_h"] * step["pool_h"], step["out_w"] * step["pool_w"]
    for image, y, x in pixels:
        at = step["sum_addr"] + 4 * (((image * height + y) * width + x) * step["out_c"] + first)
        yield from (word(sram, at + 4 * row) if row < count else None for row in range(rows))


def lsb(step: Step, channel: int) -> int:
    if not (step["cuts"] and step["last"]):
        return step["lsb"]
    return step.sram[step["bias_addr"] + 4 * step["first"] * step["out_c"] + channel]


def chunks(items: list[Pixel], size: int) -> list[list[Pixel]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
