"""What a program may ask of the host: refused with the value and the limit, before it is taken."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction, Mode, make
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator
from tvm_re2na.runtime import library
from tvm_re2na.runtime.library import LoadedProgram, Simulator, SimulatorError
from tvm_re2na.runtime.limits import VARIABLES, Limits

HEADER = Path(__file__).parents[2] / "runtime/include/re2na.h"
BIG = Architecture(sram_bytes=2**31, alu_interval=1, array_rows=4096, array_columns=4096)


def of(*body: Instruction, dram_bytes: int = 2, arch: Architecture = BIG) -> Program:
    return Program(
        arch=arch,
        inputs=(ProgramTensor("x", (1, 1), (1, 1, 1, 1), 0),),
        outputs=(ProgramTensor("y", (1, 1), (1, 1, 1, 1), 1),),
        instructions=(*body, make("HALT")),
        constants=b"",
        constants_address=0,
        dram_bytes=dram_bytes,
        sources=(SourceOperator("op", "test", 0),),
    )


def pool(**values: int) -> list[Instruction]:
    """All of whose strides are 0: the SRAM holds one pixel."""
    names = [field.name for field in make("POOL", **POOL).format.body]
    return [make("RECONFIGURE", mode=Mode.POOL, rows=4096), make("POOL", **dict.fromkeys(names, 0) | POOL | values)]


POOL = dict.fromkeys(("n", "in_h", "in_w", "in_c", "out_h", "out_w", "kernel_h", "kernel_w"), 1)
POOL |= dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
POOL |= {
    f"{side}_{what}": 0 for side in ("in", "out") for what in ("addr", "pixel_stride", "row_stride", "image_stride")
}
POOL |= {"pad_top": 0, "pad_left": 0, "pad_value": 0, "lo": -128, "hi": 127}
GREEDY = {
    "DRAM of 4 GB": of(dram_bytes=2**32),
    "a window over all outputs": of(*pool(in_c=32767, out_h=255, out_w=255, kernel_h=255, kernel_w=255)),
    "an input that lies on one byte": of(*pool(n=65535, in_h=65535, in_w=65535)),
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_tiny_program_that_asks_for_much_is_refused(name: str) -> None:
    assert len(GREEDY[name].to_bytes()) < 1000
    with pytest.raises(SimulatorError, match=r"takes [0-9]{10,} .*, the limit is [0-9]+$") as caught:
        Simulator(GREEDY[name])
    assert caught.value.kind == "limit"


@pytest.mark.parametrize("seed", range(8))
def test_the_limits_are_exact(seed: int) -> None:
    program = random_program(seed, length=6)
    simulator = Simulator(program)
    asks = simulator.program.asks
    Simulator(program, limits=asks).run(random_input(program, 0))
    for field in ("memory_bytes", "work"):
        less = dataclasses.replace(asks, **{field: getattr(asks, field) - 1})
        with pytest.raises(SimulatorError, match=f"the limit is {getattr(less, field)}$") as caught:
            Simulator(program, limits=less)
        assert caught.value.kind == "limit"


def test_packed_weights_are_refused_by_the_machine_and_not_kept() -> None:
    program = next(p for p in (random_program(seed, ("CONV",)) for seed in range(100)) if not p.arch.acc_overflow)
    at_load = LoadedProgram(program).asks
    loaded = LoadedProgram(program, limits=dataclasses.replace(at_load, work=2**40))
    for _ in range(2):
        with pytest.raises(SimulatorError, match="the limit is") as caught:
            Simulator(loaded)
        assert caught.value.kind == "limit"
        assert loaded.asks == at_load


def test_work_counts_what_is_done() -> None:
    """Of a pool: comparisons, the inputs that are looked at, both tensors, and the counters of its operator."""
    loaded = LoadedProgram(of(*pool(n=2, in_h=3, in_w=5, in_c=7, out_h=4, out_w=6, kernel_h=8, kernel_w=9)))
    assert loaded.asks.work == 2 * 4 * 6 * 7 * 8 * 9 + 2 * 3 * 5 * 7 + 2 + 2 + 1


def test_the_environment_sets_them_for_all_that_load(monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(3, length=2)
    inputs, outputs = random_input(program, 0), [np.empty(t.shape, np.int8) for t in program.outputs]
    monkeypatch.setenv("RE2NA_WORK_LIMIT", "7")
    library.bridge_reset()
    for run in (lambda: Simulator(program), lambda: library.execute(program, inputs, outputs)):
        with pytest.raises(SimulatorError, match="element steps, the limit is 7"):
            run()
    for text in ("", "-1", "many", "18446744073709551616"):
        monkeypatch.setenv("RE2NA_WORK_LIMIT", text)
        for run in (lambda: Simulator(program), lambda: library.execute(program, inputs, outputs)):
            with pytest.raises(SimulatorError, match=f"RE2NA_WORK_LIMIT = '{text}' is no number"):
                run()


def test_python_and_the_header_have_the_same_defaults() -> None:
    text = HEADER.read_text()
    found = re.findall(r"#define RE2NA_DEFAULT_\w+ \(UINT64_C\(1\) << (\d+)\)", text)
    assert Limits() == Limits(*(1 << int(bits) for bits in found))
    assert all(variable in text for variable in VARIABLES.values())


def test_weights_that_a_run_brings_have_room_whatever_their_bitmap_says() -> None:
    """20,000 lines are packed before the run, of which the bitmap, an input, names few: more pixels fit a block then."""
    steps, out_c, side = 20_000, 4, 12
    k, mask = 32_768, 32_768 // 8
    places = {"in_addr": 0, "weight_addr": side * side * 2048}
    places["mask_addr"] = places["weight_addr"] + steps * out_c
    places["bias_addr"] = places["mask_addr"] + mask
    places["out_addr"] = places["bias_addr"] + 4 * out_c
    total = places["out_addr"]
    one = dict.fromkeys(("n", "stride_h", "stride_w", "dilation_h", "dilation_w", "groups"), 1)
    sizes = {
        "in_h": side,
        "in_w": side,
        "in_c": 2048,
        "kernel_h": 4,
        "kernel_w": 4,
        "out_h": side - 3,
        "out_w": side - 3,
    }
    strides = {"in_pixel_stride": 2048, "in_row_stride": side * 2048, "in_image_stride": 0}
    strides |= {"out_pixel_stride": out_c, "out_row_stride": (side - 3) * out_c, "out_image_stride": 0}
    rest = {"pad_top": 0, "pad_left": 0, "out_c": out_c, "rows": 64, "steps": steps, "lsb": 5, "lo": -128, "hi": 127}
    flat = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    outputs = (side - 3) ** 2 * out_c
    program = Program(
        arch=Architecture(acc_bits=32),
        inputs=(ProgramTensor("x", (1, total), (1, total, 1, 1), 0),),
        outputs=(ProgramTensor("y", (1, outputs), (1, outputs, 1, 1), total),),
        instructions=(
            make("LOAD", dram_addr=0, sram_addr=0, bytes=total, rows=1, planes=1, **flat),
            make("RECONFIGURE", mode=Mode.CONV, rows=64),
            make("CONV", **one, **sizes, **strides, **rest, **places),
            make("STORE", dram_addr=total, sram_addr=total, bytes=outputs, rows=1, planes=1, **flat),
            make("HALT"),
        ),
        constants=b"",
        constants_address=0,
        dram_bytes=total + outputs,
        sources=(SourceOperator("conv", "conv2d", 0),),
    )
    x = np.random.default_rng(0).integers(-128, 128, total).astype(np.int8)
    bits = np.zeros(k, np.uint8)
    bits[::16] = 1  # 2,048 of them
    x[places["mask_addr"] :][:mask] = np.packbits(bits, bitorder="little").view(np.int8)
    lines = x[places["weight_addr"] :][: steps * out_c].reshape(steps, out_c)[:2048].astype(np.int64)
    maps = x[: side * side * 2048].reshape(side, side, 2048)
    windows = np.lib.stride_tricks.sliding_window_view(maps, (4, 4), (0, 1)).transpose(0, 1, 3, 4, 2)
    sums = windows.reshape(-1, k)[:, ::16].astype(np.int64) @ lines + x[places["bias_addr"] :][: 4 * out_c].view(
        np.int32
    )
    expected = np.clip((((sums + 2**31) % 2**32) - 2**31) >> 5, -128, 127)
    for kernel in library.kernels():
        result = Simulator(program, kernel=kernel).run([x[None]])
        np.testing.assert_array_equal(result.outputs[0].reshape(-1, out_c), expected, kernel)


def test_tables_of_operators_and_tensors_are_counted() -> None:
    program = of()
    few = LoadedProgram(program).asks
    many = LoadedProgram(dataclasses.replace(program, sources=program.sources * 2**16)).asks
    assert many.memory_bytes >= few.memory_bytes + (2**16 - 1) * 24
    assert many.work == few.work + 2**16 - 1
    with pytest.raises(SimulatorError, match="SOURCES has 65537 operators, instructions can name 65536"):
        LoadedProgram(dataclasses.replace(program, sources=program.sources * (2**16 + 1)))
    ports = dataclasses.replace(program, outputs=program.outputs * 1000)
    assert LoadedProgram(ports).asks.memory_bytes >= few.memory_bytes + 2 * 999 * 52


def test_constants_that_are_scattered_are_followed_so_far_and_no_further() -> None:
    """64 pieces a LOAD, more in all than are followed. What is not followed has to be in SRAM."""
    loads, runs = 2**14 // 64 + 4, 64
    size = loads * runs
    flat = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    apart = flat | {"dram_row_stride": 1, "sram_row_stride": 2, "bytes": 1, "rows": runs, "planes": 1}
    program = dataclasses.replace(
        of(
            *(make("LOAD", **apart, dram_addr=i * runs, sram_addr=2 * i * runs) for i in range(loads)),
            make("STORE", **apart | {"dram_row_stride": 1, "rows": size}, dram_addr=size, sram_addr=0),
        ),
        inputs=(),
        outputs=(ProgramTensor("y", (1, size), (1, size, 1, 1), size),),
        constants=np.arange(size).astype(np.uint8).tobytes(),
        dram_bytes=2 * size,
    )
    np.testing.assert_array_equal(Simulator(program).run([]).outputs[0][0], np.arange(size).astype(np.int8))
    with pytest.raises(SimulatorError, match="bytes of the host's memory, the limit is"):
        Simulator(program, limits=LoadedProgram(program).asks)


@pytest.mark.parametrize("kernel", library.kernels()[1:])
def test_packing_the_largest_depthwise_window_ends(kernel: str) -> None:
    """All weights 0 but those of the last two taps of the last channel, whose sum does not fit 16 bits: however many taps are added
    together are too many, and finding that out took minutes."""
    channels, side = 64, 255
    taps = side * side
    weights = np.zeros((taps, channels), np.int8)
    weights[-2:, -1] = 127
    x = np.full((taps, channels), -128, np.int8)
    places = {"in_addr": 0, "weight_addr": taps * channels, "bias_addr": 2 * taps * channels}
    places |= {"mask_addr": 0, "out_addr": 2 * taps * channels + 4 * channels}
    strides = {"in_pixel_stride": channels, "in_row_stride": side * channels, "in_image_stride": 0}
    strides |= {"out_pixel_stride": channels, "out_row_stride": 0, "out_image_stride": 0}
    ones = dict.fromkeys(("n", "stride_h", "stride_w", "dilation_h", "dilation_w", "out_h", "out_w"), 1)
    sizes = dict.fromkeys(("in_h", "in_w", "kernel_h", "kernel_w"), side) | dict.fromkeys(
        ("in_c", "out_c", "groups"), channels
    )
    flat = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")} | {
        "rows": 1,
        "planes": 1,
    }
    constants = weights.tobytes() + bytes(4 * channels)
    base = x.size + channels
    program = Program(
        arch=Architecture(sram_bytes=2**24, acc_bits=32),
        inputs=(ProgramTensor("x", (1, x.size), (1, x.size, 1, 1), 0),),
        outputs=(ProgramTensor("y", (1, channels), (1, channels, 1, 1), x.size),),
        instructions=(
            make("LOAD", dram_addr=0, sram_addr=0, bytes=x.size, **flat),
            make("LOAD", dram_addr=base, sram_addr=x.size, bytes=len(constants), **flat),
            make("RECONFIGURE", mode=Mode.GROUPED, rows=64),
            make(
                "CONV",
                **ones,
                **sizes,
                **strides,
                **places,
                pad_top=0,
                pad_left=0,
                rows=64,
                steps=taps,
                lsb=8,
                lo=-128,
                hi=127,
            ),
            make("STORE", dram_addr=x.size, sram_addr=places["out_addr"], bytes=channels, **flat),
            make("HALT"),
        ),
        constants=constants,
        constants_address=base,
        dram_bytes=base + len(constants),
        sources=(SourceOperator("conv", "conv2d", 0),),
    )
    result = Simulator(program, kernel=kernel).run([x.reshape(1, -1)]).outputs[0][0]
    np.testing.assert_array_equal(result, [0] * (channels - 1) + [max(-128, (2 * -128 * 127) >> 8)])
