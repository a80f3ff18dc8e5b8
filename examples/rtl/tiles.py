"""An instruction cut into tiles, as many results as a corner of the array computes at once; from docs/isa.md and docs/vectors.md."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from vectors import Step, read_hex

Address: TypeAlias = int | None  # None: padding


@dataclass(frozen=True)
class Result:
    """`channels` results side by side from `address`, from `columns` of the array; of several the maximum."""

    columns: list[int]
    address: int
    channels: int


@dataclass
class Tile:
    """`start`: the sum that each PE begins with, [row + rows * column]. `steps`: the address of the first weight, and of the input
    of each column. `windows`: instead of steps, the bytes that a row is shown. `sums`: instead of results, what stays in the PEs.
    """

    start: list[int] = field(default_factory=list)
    steps: list[tuple[int, list[Address]]] = field(default_factory=list)
    windows: list[Address] = field(default_factory=list)
    lsb: list[int] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)


class NotReplayed(Exception):
    """The array of this folder cannot do the instruction; the message says why."""


def tiles(step: Step, rows: int, columns: int) -> Iterator[Tile]:
    """All tiles of an instruction. Raises NotReplayed."""
    kinds = {"CONV": conv_tiles, "DENSE": dense_tiles, "POOL": pool_tiles}
    if step.instruction["name"] not in kinds:
        raise NotReplayed("nothing is computed by multiplying or comparing")
    return kinds[step.instruction["name"]](step, rows, columns)


def conv_tiles(step: Step, rows: int, columns: int) -> Iterator[Tile]:
    window = step["pool_h"] * step["pool_w"]
    if step["add"]:
        raise NotReplayed("it adds a second operand on its way out")
    if window > columns:
        raise NotReplayed(f"it keeps the maximum of {window} results, there are {columns} columns")
    sram, of_group = step.sram(), step["out_c"] // step["groups"]
    channels = step["in_c"] // step["groups"]
    kernel = list(itertools.product(range(step["kernel_h"]), range(step["kernel_w"]), range(channels)))
    lines = [kernel[k] for k in present(step, sram, len(kernel))]
    for group, pixels in itertools.product(range(step["groups"]), chunks(outputs(step), columns // window)):
        seen, first = list(windows_of(step, pixels)), group * channels
        for c in range(group * of_group, (group + 1) * of_group, rows):
            count = min(rows, (group + 1) * of_group - c)
            biases = [bias(step, sram, c + row) if row < count else 0 for row in range(rows)]
            tile = Tile(biases * columns, lsb=lsbs(step, sram, c, rows))
            for line, (ky, kx, channel) in enumerate(lines):
                inputs = [input_address(step, *pixel, ky, kx, first + channel) for pixel in seen]
                tile.steps.append((step["weight_addr"] + line * step["out_c"] + c, inputs))
            for at, pixel in enumerate(pixels):
                mine = list(range(at * window, (at + 1) * window))
                tile.results.append(Result(mine, out_address(step, *pixel) + c, count))
            yield tile


def dense_tiles(step: Step, rows: int, columns: int) -> Iterator[Tile]:
    sram, outs, pes = step.sram(), step["out_c"], rows * columns
    going_on = {} if step["first"] else read_hex(step.path("before", "sums"))
    left = {} if step["last"] else read_hex(step.path("after", "sums"))
    lines = present(step, sram, step["in_c"])
    for image, first in itertools.product(range(step["n"]), range(0, outs, pes)):
        mine = range(first, min(first + pes, outs))
        starts = [bias(step, sram, out) if step["first"] else going_on[image * outs + out] for out in mine]
        base = step["in_addr"] + image * step["in_image_stride"]
        steps: list[tuple[int, list[Address]]] = [
            (step["weight_addr"] + line * outs + first, [base + k] * columns) for line, k in enumerate(lines)
        ]
        tile = Tile(starts + [0] * (pes - len(mine)), steps, lsb=[step["lsb"]] * rows)
        if step["last"]:
            target = step["out_addr"] + image * step["out_image_stride"] + first
            for column, at in enumerate(range(0, len(mine), rows)):
                tile.results.append(Result([column], target + at, min(rows, len(mine) - at)))
        else:
            tile.sums = [left[image * outs + out] for out in mine]
        yield tile


def pool_tiles(step: Step, rows: int, columns: int) -> Iterator[Tile]:
    del columns
    kernel = list(itertools.product(range(step["kernel_h"]), range(step["kernel_w"])))
    for pixel, c in itertools.product(outputs(step), range(0, step["in_c"], rows)):
        shown = [input_address(step, *pixel, ky, kx, c) for ky, kx in kernel]
        result = Result([], out_address(step, *pixel) + c, min(rows, step["in_c"] - c))
        yield Tile(windows=shown, lsb=[0] * rows, results=[result])


# ---- where operands and results lie

Pixel: TypeAlias = tuple[int, int, int]  # image, row, column


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


def out_address(step: Step, image: int, y: int, x: int) -> int:
    place = image * step["out_image_stride"] + y * step["out_row_stride"] + x * step["out_pixel_stride"]
    return step["out_addr"] + place


def present(step: Step, sram: dict[int, int], k: int) -> list[int]:
    """The steps that have a line of weights."""
    if step["steps"] == k:
        return list(range(k))
    bits = (sram[step["mask_addr"] + at // 8] >> at % 8 & 1 for at in range(k))
    return [at for at, bit in enumerate(bits) if bit][: step["steps"]]


def bias(step: Step, sram: dict[int, int], channel: int) -> int:
    raw = bytes(sram[step["bias_addr"] + 4 * channel + at] for at in range(4))
    return int.from_bytes(raw, "little", signed=True)


def lsbs(step: Step, sram: dict[int, int], channel: int, rows: int) -> list[int]:
    if not step["cuts"]:
        return [step["lsb"]] * rows
    first = step["bias_addr"] + 4 * step["out_c"]
    return [sram[first + channel + row] if channel + row < step["out_c"] else 0 for row in range(rows)]


def chunks(items: list[Pixel], size: int) -> list[list[Pixel]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
