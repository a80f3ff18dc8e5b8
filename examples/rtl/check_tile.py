"""The cocotb test: drives `tile.v` with the tiles of one instruction, and compares what comes out with the vectors.

Started by `replay.py`, which says by environment variables what to do: VECTORS, INSTRUCTION, TILES (0: all), FOUND.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from tiles import Address, Result, Tile, tiles
from vectors import Vectors

TOP: Any = cocotb.top
ROWS, COLUMNS, ACC_BITS = (each.value.to_unsigned() for each in (TOP.ROWS, TOP.COLUMNS, TOP.ACC_BITS))


def packed(values: Iterable[int], bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((value & mask) << bits * at for at, value in enumerate(values))


def words(signal: Any, bits: int, count: int) -> list[str]:
    """The lowest `count` words as bits; what is undefined shows."""
    text = str(signal.value)
    return [text[len(text) - bits * (at + 1) : len(text) - bits * at] for at in range(count)]


def show(dut: Any, inputs: list[Address]) -> None:
    dut.input_address.value = packed((address or 0 for address in inputs), 32)
    dut.input_there.value = packed((address is not None for address in inputs), 1)


async def compute(dut: Any, tile: Tile) -> int:
    """All steps of a tile; the cycles from its first operands to its last sum."""
    dut.start.value = packed(tile.start, ACC_BITS)
    dut.begin_sum.value = 1
    await FallingEdge(dut.clock)
    dut.begin_sum.value = 0
    cycles = 0
    for weights, inputs in tile.steps:
        while not dut.free.value:
            await FallingEdge(dut.clock)
            cycles += 1
        dut.weight_address.value = weights
        show(dut, inputs + [None] * (COLUMNS - len(inputs)))
        dut.fetch.value = 1
        await FallingEdge(dut.clock)
        cycles += 1
        dut.fetch.value = 0
    while not dut.idle.value:
        await FallingEdge(dut.clock)
        cycles += 1
    return cycles


async def keep(dut: Any, tile: Tile, result: Result) -> None:
    """The maximum of results of some columns, or of bytes of the SRAM."""
    dut.from_memory.value = int(not result.columns)
    dut.output_address.value = result.address
    dut.second_there.value = int(result.second is not None)
    dut.second_address.value = result.second or 0
    for at, shown in enumerate(result.columns or tile.windows):
        if result.columns:
            dut.column.value = shown
        else:
            show(dut, [shown] + [None] * (COLUMNS - 1))
            dut.fetch.value = 1
            await FallingEdge(dut.clock)
            dut.fetch.value = 0
        dut.first.value = int(at == 0)
        dut.keep.value = 1
        await FallingEdge(dut.clock)
        dut.keep.value = 0


def set_path(dut: Any, name: str, fields: dict[str, int]) -> None:
    """What an instruction says of the way of its results."""
    lo, hi = fields["lo"], fields["hi"]
    add_lo, add_hi = (lo, hi) if name == "ELTWISE" else (fields.get("add_lo", 0), fields.get("add_hi", 0))
    if name == "ELTWISE":  # what is shown is the first operand as it is
        lo, hi = -128, 127
    dut.adds.value = int(name == "ELTWISE" or fields.get("add", 0) == 1)
    dut.shift_a.value, dut.shift_b.value = fields.get("shift_a", 0), fields.get("shift_b", 0)
    for signal, value in ((dut.lo, lo), (dut.hi, hi), (dut.add_lo, add_lo), (dut.add_hi, add_hi)):
        signal.value = value & 0xFF


@cocotb.test()
async def replay(dut: Any) -> None:
    """Every result of every tile is the byte that the vectors have."""
    index, most = int(os.environ["INSTRUCTION"]), int(os.environ["TILES"])
    (step,) = [step for step in Vectors.open(Path(os.environ["VECTORS"])).steps if step.index == index]
    fields = step.instruction["fields"]
    for name in ("begin_sum", "fetch", "keep", "first", "from_memory", "column", "weight_address", "output_address"):
        getattr(dut, name).value = 0
    show(dut, [None] * COLUMNS)
    dut.dense.value = int(step.instruction["name"] == "DENSE")
    dut.padding.value = fields.get("pad_value", 0) & 0xFF
    set_path(dut, step.instruction["name"], fields)
    cocotb.start_soon(Clock(dut.clock, 10, "ns").start())
    await FallingEdge(dut.clock)

    every = tiles(step, ROWS, COLUMNS)
    chosen = every if not most else every[:: -(-len(every) // most)]
    found = {"tiles": len(chosen), "of": len(every), "results": 0, "unequal": 0, "steps": 0, "cycles": 0}
    for make in chosen:
        tile = make()
        dut.lsb.value = packed(tile.lsb, 8)
        if tile.start:
            found["cycles"] += await compute(dut, tile)
            found["steps"] += len(tile.steps)
        sums = zip(words(dut.sums, ACC_BITS, len(tile.sums)), tile.sums, strict=True)
        told = [(told, f"{wanted % 2**ACC_BITS:0{ACC_BITS}b}") for told, wanted in sums if wanted is not None]
        for result in tile.results:
            await keep(dut, tile, result)
            told += zip(words(dut.result, 8, result.channels), words(dut.wanted, 8, result.channels), strict=True)
        found["results"] += len(told)
        found["unequal"] += sum(one != other or set(one) > {"0", "1"} for one, other in told)
    Path(os.environ["FOUND"]).write_text(json.dumps(found))
    assert found["results"] and not found["unequal"]
