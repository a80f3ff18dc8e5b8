"""What a program may ask of the host: refused with the value and the limit, before it is taken."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.programs import changed, random_input, random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction, Mode, make
from tvm_re2na.codegen.program import Program, ProgramTensor, Source
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
        sources=(Source("op", "test", 0),),
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
    """Of a pool: comparisons, the inputs that are looked at, and both tensors."""
    loaded = LoadedProgram(of(*pool(n=2, in_h=3, in_w=5, in_c=7, out_h=4, out_w=6, kernel_h=8, kernel_w=9)))
    assert loaded.asks.work == 2 * 4 * 6 * 7 * 8 * 9 + 2 * 3 * 5 * 7 + 2 + 2


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
        sources=(Source("conv", "conv2d", 0),),
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


def test_a_changed_field_cannot_ask_for_years() -> None:
    program = random_program(2, ("POOL",), length=1)
    index = next(i for i, at in enumerate(program.instructions) if at.name == "POOL")
    try:
        Simulator(changed(program, index, in_h=65535, in_w=65535, in_row_stride=0, in_pixel_stride=0))
    except SimulatorError as error:
        assert error.kind in ("limit", "access")
