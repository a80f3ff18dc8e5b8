"""Absent steps, pooling and addition in the output path, each against the longer way to the same bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.isa import Mode, make
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.instructions import machine
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.runtime.result import Counter

Int8 = npt.NDArray[np.int8]

SIZE, IN_C, OUT_C, K = 4, 2, 5, 3 * 3 * 2
MASK, BIAS, WEIGHT, OPERAND, INPUT, OUTPUT = 0, 16, 64, 256, 512, 1024
SRAM = 2048
ARCHES = [
    Architecture(sram_bytes=SRAM, acc_bits=bits, acc_overflow=overflow, cut_overflow=cut, rounding=rounding)
    for bits in (17, 13)
    for overflow, cut, rounding in (
        (AccOverflow.WRAP, CutOverflow.SATURATE, Rounding.HALF_UP),
        (AccOverflow.SATURATE, CutOverflow.WRAP, Rounding.TRUNCATE),
    )
]
arches = pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: f"{arch.acc_bits}-{arch.acc_overflow.name}")

RNG = np.random.default_rng(2)
WEIGHTS = RNG.integers(-128, 128, (K, OUT_C)).astype(np.int8)
BIASES = RNG.integers(-4000, 4000, OUT_C).astype(np.int32)
OPERANDS = RNG.integers(-128, 128, (SIZE, SIZE, OUT_C)).astype(np.int8)
IMAGE = RNG.integers(-128, 128, (1, IN_C, SIZE, SIZE)).astype(np.int8)


def program_of(arch: Architecture, mask: bytes, weights: Int8, **changed: int) -> Program:
    """One 3 x 3 convolution of a 4 x 4 image, with the bitmap, the lines of weights and the operand in the constants."""
    memory = np.zeros(INPUT, np.int8)
    for address, content in ((MASK, mask), (BIAS, BIASES), (WEIGHT, weights), (OPERAND, OPERANDS)):
        content = np.frombuffer(content, np.int8) if isinstance(content, bytes) else content.view(np.int8).reshape(-1)
        memory[address : address + content.size] = content
    values = dict.fromkeys(
        ("n", "groups", "stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top", "pad_left"), 1
    )
    values |= dict.fromkeys(("in_h", "in_w", "out_h", "out_w"), SIZE) | {"kernel_h": 3, "kernel_w": 3}
    for side, channels in (("in", IN_C), ("out", OUT_C), ("add", OUT_C)):
        values |= {f"{side}_pixel_stride": channels, f"{side}_row_stride": channels * SIZE, f"{side}_image_stride": 0}
    values |= {"in_addr": INPUT, "out_addr": OUTPUT, "weight_addr": WEIGHT, "bias_addr": BIAS, "add_addr": OPERAND}
    values |= {"in_c": IN_C, "out_c": OUT_C, "rows": 64, "steps": len(weights), "lsb": 7, "lo": -128, "hi": 127}
    values |= changed
    height, width = values["out_h"], values["out_w"]
    size = height * width * OUT_C
    values |= {"out_row_stride": width * OUT_C}

    def copy(dram: int, sram: int, count: int) -> dict[str, int]:
        strides = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
        return {"dram_addr": dram, "sram_addr": sram, "bytes": count, "rows": 1, "planes": 1, **strides}

    return Program(
        arch=arch,
        inputs=(ProgramTensor("x", IMAGE.shape, IMAGE.shape, INPUT),),
        outputs=(ProgramTensor("y", (1, OUT_C, height, width), (1, OUT_C, height, width), INPUT + IMAGE.size),),
        instructions=(
            make("LOAD", **copy(0, 0, INPUT + IMAGE.size)).with_tokens(0, 0b010),
            make("RECONFIGURE", mode=Mode.CONV, rows=64),
            make("CONV", **values).with_tokens(0b001, 0b100),
            make("STORE", **copy(INPUT + IMAGE.size, OUTPUT, size)).with_tokens(0b010, 0),
            make("HALT"),
        ),
        constants=memory.tobytes(),
        constants_address=0,
        dram_bytes=INPUT + IMAGE.size + size,
        sources=(SourceOperator("conv", "conv2d", 0),),
    )


def run(program: Program) -> tuple[npt.NDArray[np.int64], Counter]:
    """What both simulators give."""
    fast, slow = Simulator(program).run([IMAGE]), reference.run(program, [IMAGE])
    np.testing.assert_array_equal(fast.outputs[0], slow.outputs[0])
    assert fast.counters == slow.counters
    return slow.outputs[0].astype(np.int64), slow.counters.total


def bitmap(present: npt.NDArray[np.bool_]) -> bytes:
    return np.packbits(present, bitorder="little").tobytes()


@arches
def test_absent_steps_count_as_zero(arch: Architecture) -> None:
    present = np.random.default_rng(3).random(K) < 0.5
    lines = WEIGHTS[present]
    sparse = program_of(arch, bitmap(present), lines)
    whole = program_of(arch, b"", np.where(present[:, None], WEIGHTS, 0).astype(np.int8))
    results, counter = run(sparse)
    expected, full = run(whole)
    np.testing.assert_array_equal(results, expected)
    assert counter.overflows == full.overflows
    assert (counter.macs, full.macs) == (results.size * len(lines), results.size * K)
    assert Simulator(sparse).timing.cycles < Simulator(whole).timing.cycles


@arches
def test_a_bitmap_that_does_not_fit_the_lines_harms_nobody(arch: Architecture) -> None:
    some = np.arange(K) % 3 == 0  # six steps
    as_expected, _ = run(program_of(arch, bitmap(some), WEIGHTS[:6]))
    more_lines, _ = run(program_of(arch, bitmap(some), WEIGHTS[:9]))
    more_bits, _ = run(program_of(arch, bitmap(some | (np.arange(K) > 15)) + b"\xff", WEIGHTS[:6]))
    np.testing.assert_array_equal(more_lines, as_expected)
    np.testing.assert_array_equal(more_bits, as_expected)
    nothing, counter = run(program_of(arch, b"\xff\xff\xff", WEIGHTS[:0]))
    bias_only, _ = run(program_of(arch, b"", np.zeros_like(WEIGHTS)))
    np.testing.assert_array_equal(nothing, bias_only)
    assert counter.macs == 0


@arches
@pytest.mark.parametrize(("pool_h", "pool_w"), [(2, 2), (1, 4), (4, 1), (2, 1)])
def test_a_window_keeps_the_maximum_and_counts_every_overflow(arch: Architecture, pool_h: int, pool_w: int) -> None:
    size = {"out_h": SIZE // pool_h, "out_w": SIZE // pool_w}
    results, counter = run(program_of(arch, b"", WEIGHTS, pool_h=pool_h, pool_w=pool_w, **size))
    apart, full = run(program_of(arch, b"", WEIGHTS))
    expected = apart.reshape(1, OUT_C, size["out_h"], pool_h, size["out_w"], pool_w).max(axis=(3, 5))
    np.testing.assert_array_equal(results, expected)
    assert (counter.macs, counter.overflows) == (full.macs, full.overflows)


@arches
@pytest.mark.parametrize(("shift_a", "shift_b"), [(0, 0), (1, 3)])
def test_a_second_operand_is_added_as_eltwise_does(arch: Architecture, shift_a: int, shift_b: int) -> None:
    fields = {"shift_a": shift_a, "shift_b": shift_b, "add_lo": -100, "add_hi": 90}
    results, counter = run(program_of(arch, b"", WEIGHTS, add=1, **fields))
    apart, full = run(program_of(arch, b"", WEIGHTS))
    operand = OPERANDS.transpose(2, 0, 1)[None].astype(np.int64)
    total = machine.shift_right(arch, apart, shift_a) + machine.shift_right(arch, operand, shift_b)
    np.testing.assert_array_equal(results, machine.fit(arch, total, -100, 90))
    assert counter.overflows == full.overflows


@pytest.mark.parametrize("place", [OPERAND, OPERAND + 1, OPERAND + 3 * OUT_C])
def test_the_output_may_overwrite_the_operand(place: int) -> None:
    fields = {"add": 1, "add_lo": -128, "add_hi": 127}
    expected, _ = run(program_of(ARCHES[0], b"", WEIGHTS, **fields))
    program = program_of(ARCHES[0], b"", WEIGHTS, **fields, out_addr=place)
    store = program.instructions[3]
    store.values["sram_addr"] = place
    results, _ = run(program)
    np.testing.assert_array_equal(results, expected)
