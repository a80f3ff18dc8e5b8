"""Addresses of operands, and what is read there."""

from __future__ import annotations

import numpy as np

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.runtime.instructions.machine import Ints, Machine


def grid(*axes: tuple[int, int]) -> Ints:
    """Sums of index times stride over all (count, stride) axes, an array with one axis for each."""
    total = np.zeros([count for count, _ in axes], np.int64)
    for axis, (count, stride) in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = count
        total = total + (np.arange(count, dtype=np.int64) * stride).reshape(shape)
    return total


def seen(machine: Machine, at: Instruction, size: tuple[int, int], channels: Ints, padding: int) -> Ints:
    """What each of n x size pixels sees: (pixels, kernel_h, kernel_w, channels), `padding` outside the input."""
    image, out_y, out_x = (
        index.reshape(-1, 1, 1) for index in np.meshgrid(*map(np.arange, (at["n"], *size)), indexing="ij")
    )
    y = out_y * at["stride_h"] - at["pad_top"] + (np.arange(at["kernel_h"]) * at["dilation_h"]).reshape(1, -1, 1)
    x = out_x * at["stride_w"] - at["pad_left"] + (np.arange(at["kernel_w"]) * at["dilation_w"]).reshape(1, 1, -1)
    inside = (y >= 0) & (y < at["in_h"]) & (x >= 0) & (x < at["in_w"])
    first = at["in_addr"] + image * at["in_image_stride"] + y * at["in_row_stride"] + x * at["in_pixel_stride"]
    seen = np.full((*inside.shape, channels.size), padding, np.int64)
    seen[inside] = machine.sram.read(first[inside][:, None] + channels)
    return seen


def output(at: Instruction, channels: int, side: str = "out") -> Ints:
    """Addresses (pixels, channels) of the output, or of the second operand (`side` = add), which has its shape."""
    pixels = grid(
        (at["n"], at[f"{side}_image_stride"]),
        (at["out_h"], at[f"{side}_row_stride"]),
        (at["out_w"], at[f"{side}_pixel_stride"]),
        (channels, 1),
    )
    return at[f"{side}_addr"] + pixels.reshape(-1, channels)


def present(machine: Machine, at: Instruction, k: int) -> Ints:
    """The steps of k that have a line of weights, in its order."""
    if at["steps"] == k:
        return np.arange(k)
    bitmap = machine.sram.read(at["mask_addr"] + np.arange(-(-k // 8))).astype(np.uint8)
    return np.flatnonzero(np.unpackbits(bitmap, count=k, bitorder="little"))[: at["steps"]]


def weights(machine: Machine, at: Instruction) -> Ints:
    """(steps, out_c), all lines."""
    return machine.sram.read(at["weight_addr"] + grid((at["steps"], at["out_c"]), (at["out_c"], 1)))
