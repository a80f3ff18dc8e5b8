"""Hazards found in the slowest and most obvious way, for the hazard check to be compared with.

Knows nothing of runtime/hazards.py and runtime/instructions: order is a transitive closure, and what an instruction touches is a
plain set of addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.isa import ENGINES, Instruction

Bytes = set[int]


def tokens(instructions: Sequence[Instruction]) -> list[tuple[int, int]]:
    """Who gives and who takes each token: the k-th that an engine gives another is the k-th that the other takes from it.
    None may be left over."""
    pairs: list[tuple[int, int]] = []
    for giver in ENGINES:
        for taker in ENGINES:
            given = [i for i, at in enumerate(instructions) if at.engine is giver and at.signal >> taker & 1]
            taken = [i for i, at in enumerate(instructions) if at.engine is taker and at.wait >> giver & 1]
            pairs += zip(given, taken, strict=True)
    return pairs


def happens_before(instructions: Sequence[Instruction]) -> npt.NDArray[np.bool_]:
    """before[i, j]: i is over when j starts, because engines work in order and wait for tokens."""
    before = np.zeros((len(instructions), len(instructions)), np.bool_)
    for engine in ENGINES:
        for first, second in pairwise(i for i, at in enumerate(instructions) if at.engine is engine):
            before[first, second] = True
    for giver, taker in tokens(instructions):
        before[giver, taker] = True
    for middle in range(len(instructions)):
        before |= np.outer(before[:, middle], before[middle])
    return before


def touched(at: Instruction) -> dict[tuple[str, str], Bytes]:
    """Addresses by memory and what is done there, "reads" or "writes"."""
    return _TOUCHED[at.name](at) if at.name in _TOUCHED else {}


def meetings(instructions: Sequence[Instruction]) -> dict[tuple[int, int, str], int]:
    """Instructions i < j of different engines that touch the same byte, one of them writing: (i, j, memory) and the lowest."""
    bytes_of = [touched(at) for at in instructions]
    found = {}
    for j, later in enumerate(instructions):
        for i, earlier in enumerate(instructions[:j]):
            for memory in ("SRAM", "DRAM") if earlier.engine is not later.engine else ():
                common = set()
                for did, does in (("writes", "writes"), ("writes", "reads"), ("reads", "writes")):
                    common |= bytes_of[i].get((memory, did), set()) & bytes_of[j].get((memory, does), set())
                if common:
                    found[i, j, memory] = min(common)
    return found


def hazards(
    instructions: Sequence[Instruction], met: dict[tuple[int, int, str], int] | None = None
) -> set[tuple[int, int, str, int]]:
    """(i, j, memory, lowest common address) of the `meetings` where j, which comes later in the program, need not wait for i."""
    before = happens_before(instructions)
    met = meetings(instructions) if met is None else met
    return {(i, j, memory, address) for (i, j, memory), address in met.items() if not before[i, j]}


def _places(base: int, *axes: tuple[int, int]) -> Bytes:
    """base + i * stride for every i < count, for all axes (count, stride) together."""
    addresses = {base}
    for count, stride in axes:
        addresses = {address + i * stride for address in addresses for i in range(count)}
    return addresses


def _side(at: Instruction, memory: str) -> Bytes:
    planes, rows = ((at[f"{axis}s"], at[f"{memory}_{axis}_stride"]) for axis in ("plane", "row"))
    return _places(at[f"{memory}_addr"], planes, rows, (at["bytes"], 1))


def _window(at: Instruction, pool_h: int = 1, pool_w: int = 1) -> Bytes:
    """Of every pixel before pooling, every place of the window that is not padding."""
    rows = {
        y * at["stride_h"] + i * at["dilation_h"] - at["pad_top"]
        for y in range(at["out_h"] * pool_h)
        for i in range(at["kernel_h"])
    }
    columns = {
        x * at["stride_w"] + i * at["dilation_w"] - at["pad_left"]
        for x in range(at["out_w"] * pool_w)
        for i in range(at["kernel_w"])
    }
    return {
        at["in_addr"] + n * at["in_image_stride"] + y * at["in_row_stride"] + x * at["in_pixel_stride"] + channel
        for n in range(at["n"])
        for y in rows & set(range(at["in_h"]))
        for x in columns & set(range(at["in_w"]))
        for channel in range(at["in_c"])
    }


def _results(at: Instruction, tensor: str, channels: int) -> Bytes:
    rows, columns = (at["out_h"], at[f"{tensor}_row_stride"]), (at["out_w"], at[f"{tensor}_pixel_stride"])
    return _places(at[f"{tensor}_addr"], (at["n"], at[f"{tensor}_image_stride"]), rows, columns, (channels, 1))


def _weights(at: Instruction, k: int) -> Bytes:
    lines = _places(at["weight_addr"], (at["steps"] * at["out_c"], 1))
    return lines | {at["mask_addr"] + step // 8 for step in range(k)} if at["steps"] < k else lines


def _load(at: Instruction) -> dict[tuple[str, str], Bytes]:
    if at["coded"]:
        coded, decoded = (at["dram_addr"], at["coded"]), (at["sram_addr"], at["bytes"])
        return {
            ("DRAM", "reads"): _places(coded[0], (coded[1], 1)),
            ("SRAM", "writes"): _places(decoded[0], (decoded[1], 1)),
        }
    return {("DRAM", "reads"): _side(at, "dram"), ("SRAM", "writes"): _side(at, "sram")}


def _store(at: Instruction) -> dict[tuple[str, str], Bytes]:
    return {("SRAM", "reads"): _side(at, "sram"), ("DRAM", "writes"): _side(at, "dram")}


def _conv(at: Instruction) -> dict[tuple[str, str], Bytes]:
    read = _window(at, at["pool_h"], at["pool_w"])
    read |= _weights(at, at["kernel_h"] * at["kernel_w"] * at["in_c"] // at["groups"])
    pixels = at["n"] * at["out_h"] * at["pool_h"] * at["out_w"] * at["pool_w"]
    sums = _places(at["sum_addr"], (4 * pixels * at["out_c"], 1))
    if at["first"]:
        read |= _places(at["bias_addr"], (4 * at["out_c"], 1))
    else:
        read |= sums
    if not at["last"]:
        return {("SRAM", "reads"): read, ("SRAM", "writes"): sums}
    if at["cuts"]:
        read |= _places(at["bias_addr"] + 4 * at["out_c"] * at["first"], (at["out_c"], 1))
    if at["add"]:
        read |= _results(at, "add", at["out_c"])
    return {("SRAM", "reads"): read, ("SRAM", "writes"): _results(at, "out", at["out_c"])}


def _dense(at: Instruction) -> dict[tuple[str, str], Bytes]:
    read = _places(at["in_addr"], (at["n"], at["in_image_stride"]), (at["in_c"], 1)) | _weights(at, at["in_c"])
    if at["first"]:
        read |= _places(at["bias_addr"], (4 * at["out_c"], 1))
    results = _places(at["out_addr"], (at["n"], at["out_image_stride"]), (at["out_c"], 1)) if at["last"] else set()
    return {("SRAM", "reads"): read, ("SRAM", "writes"): results}


def _pool(at: Instruction) -> dict[tuple[str, str], Bytes]:
    return {("SRAM", "reads"): _window(at), ("SRAM", "writes"): _results(at, "out", at["in_c"])}


def _eltwise(at: Instruction) -> dict[tuple[str, str], Bytes]:
    a, b, out = (_places(at[name], (at["bytes"], 1)) for name in ("a_addr", "b_addr", "out_addr"))
    return {("SRAM", "reads"): a if at["unary"] else a | b, ("SRAM", "writes"): out}


def _lookup(at: Instruction) -> dict[tuple[str, str], Bytes]:
    read = _results(at, "in", at["in_c"]) | _places(at["table_addr"], (256, 1))
    return {("SRAM", "reads"): read, ("SRAM", "writes"): _results(at, "out", at["in_c"])}


_TOUCHED: dict[str, Callable[[Instruction], dict[tuple[str, str], Bytes]]] = {
    "LOAD": _load,
    "STORE": _store,
    "CONV": _conv,
    "DENSE": _dense,
    "POOL": _pool,
    "ELTWISE": _eltwise,
    "LOOKUP": _lookup,
}
