"""Programs that are damaged, foreign or break a rule: an error with a name, never a crash."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest

from tests.runtime.programs import MODES, SRAM, changed, long_sum_program, random_input, random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction, make
from tvm_re2na.codegen.program import HEADER, Program, ProgramTensor
from tvm_re2na.runtime import reference, timing
from tvm_re2na.runtime.instructions.machine import SimulationError
from tvm_re2na.runtime.library import Simulator, SimulatorError


def find(name: str) -> tuple[Program, int]:
    """A program without tokens and the index of its first instruction called `name`."""
    wanted = name if name in ("CONV", "LOOKUP", *MODES) else "ELTWISE"  # the others stand in any
    for seed in range(1000):
        program = random_program(seed, (wanted,), length=1)
        if program.arch.pe_count >= 256:
            break
    plain = tuple(at.with_tokens(0, 0) for at in program.instructions)
    program = dataclasses.replace(program, instructions=plain)
    index = next(index for index, at in enumerate(plain) if at.name == name)
    return (changed(program, index, first=1, last=1) if name == "CONV" else program), index


def refusal(program: Program | bytes) -> SimulatorError:
    with pytest.raises(SimulatorError) as caught:
        Simulator(program)
    assert str(caught.value)
    return caught.value


def with_checksum(data: bytes) -> bytes:
    return data[:24] + struct.pack("<I", zlib.crc32(data[HEADER.size :])) + data[28:]


DATA = random_program(11, length=6).to_bytes()


def test_every_truncation_is_refused() -> None:
    for size in [*range(200), *range(200, len(DATA), 37), len(DATA) - 1]:
        assert refusal(DATA[:size]).kind in ("format", "size")
    assert refusal(DATA + b"\0").kind == "size"
    assert refusal(b"").kind == "format"


def test_a_foreign_file_is_no_program() -> None:
    for data in (b"\x08\x07onnx" * 100, b"RE2NA", bytes(5000)):
        assert "no Re2Na program" in str(refusal(data))


def test_every_flipped_bit_of_the_header_is_refused() -> None:
    for bit in range(8 * HEADER.size):
        data = bytearray(DATA)
        data[bit // 8] ^= 1 << bit % 8
        refusal(bytes(data))


def test_flipped_bits_of_the_body_are_refused() -> None:
    rng = np.random.default_rng(0)
    for bit in rng.integers(8 * HEADER.size, 8 * len(DATA), 300):
        data = bytearray(DATA)
        data[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(data)).kind == "checksum"


@pytest.mark.parametrize("seed", range(12))
def test_damage_under_a_valid_checksum_never_crashes(seed: int) -> None:
    program = random_program(seed, length=6)
    data, rng = program.to_bytes(), np.random.default_rng(seed)
    ends = 64 * 30  # header, table, architecture, memory, tensors and most of the code
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(HEADER.size, min(ends, len(data))))] = int(rng.choice([0, 1, 127, 128, 255]))
        try:
            simulator = Simulator(with_checksum(bytes(damaged)))
            inputs = [np.zeros(port.shape, np.int8) for port in simulator.inputs]
            simulator.run(inputs)
        except SimulatorError as error:
            refused += 1
            assert str(error)
    assert 0 < refused < 300, "some are accepted, some not"


FIELDS = [
    ("CONV", "kernel_h", 0, "instruction", "kernel_h = 0 is outside 1..65535"),
    ("CONV", "stride_w", 0, "instruction", "stride_w = 0 is outside 1..65535"),
    ("CONV", "dilation_h", 0, "instruction", "dilation_h = 0 is outside 1..255"),
    ("CONV", "n", 0, "instruction", "n = 0 is outside"),
    ("CONV", "out_h", 0, "instruction", "out_h = 0 is outside"),
    ("CONV", "in_c", 0, "instruction", "in_c = 0 is outside"),
    ("CONV", "out_c", 5000, "instruction", "out_c = 5000 is outside 1.."),
    ("CONV", "groups", 0, "instruction", "groups = 0 is outside"),
    ("CONV", "lsb", 200, "instruction", "lsb = 200 is outside 0.."),
    ("CONV", "in_addr", SRAM, "access", "input at SRAM bytes"),
    ("CONV", "weight_addr", SRAM - 1, "access", "weights at SRAM bytes|biases at"),
    ("CONV", "bias_addr", SRAM - 3, "access", "biases at SRAM bytes"),
    ("CONV", "out_addr", 2**32 - 1, "access", "output at SRAM bytes"),
    ("CONV", "out_w", 65535, "instruction", "more outputs than the SRAM has bytes"),
    ("CONV", "steps", 2**32 - 1, "instruction", "steps = 4294967295 is outside 0.."),
    ("CONV", "pool_h", 0, "instruction", "pool_h = 0 is outside 1..255"),
    ("CONV", "pool_w", 0, "instruction", "pool_w = 0 is outside 1..255"),
    ("DENSE", "steps", 2**32 - 1, "instruction", "steps = 4294967295 is outside 0.."),
    ("DENSE", "in_c", 0, "instruction", "in_c = 0 is outside"),
    ("DENSE", "out_c", 0, "instruction", "out_c = 0 is outside"),
    ("DENSE", "n", 65535, "instruction", "n \\* out_c = [0-9]+ is outside"),
    ("DENSE", "in_addr", SRAM, "access", "input at SRAM bytes"),
    ("DENSE", "lsb", 40, "instruction", "lsb = 40"),
    ("DENSE", "first", 0, "sequence", "first = 0, but no sums are in the PEs"),
    ("POOL", "kernel_w", 0, "instruction", "kernel_w = 0"),
    ("POOL", "hi", -128, "instruction", "lo = [-0-9]+ is outside -128..-128"),
    ("POOL", "out_addr", SRAM, "access", "output at SRAM bytes"),
    ("ELTWISE", "bytes", 0, "instruction", "bytes = 0"),
    ("ELTWISE", "bytes", 2**32 - 1, "instruction", "bytes = 4294967295 is outside 1..4096"),
    ("ELTWISE", "shift_a", 99, "instruction", "shift_a = 99"),
    ("ELTWISE", "a_addr", SRAM, "access", "first operand at SRAM bytes"),
    ("LOOKUP", "in_c", 0, "instruction", "in_c = 0 is outside 1..65535"),
    ("LOOKUP", "out_w", 65535, "instruction", "more outputs than the SRAM has bytes"),
    ("LOOKUP", "in_addr", SRAM, "access", "input at SRAM bytes"),
    ("LOOKUP", "out_addr", SRAM, "access", "output at SRAM bytes"),
    ("LOOKUP", "table_addr", SRAM - 255, "access", "table at SRAM bytes 3841..4097, the SRAM has 4096"),
    ("RECONFIGURE", "mode", 5, "instruction", "mode = 5 is outside 0..4"),
    ("RECONFIGURE", "rows", 5, "instruction", "rows = 5, the array has [0-9]+ in this mode"),
    ("RECONFIGURE", "mode", 3, "sequence", "needs mode eltwise, the array is in mode pool"),
    ("LOAD", "bytes", 0, "instruction", "bytes = 0"),
    ("LOAD", "rows", 0, "instruction", "rows = 0"),
    ("LOAD", "planes", 0, "instruction", "planes = 0"),
    ("LOAD", "rows", 2**32 - 1, "instruction", "more bytes moved than the SRAM has bytes"),
    ("LOAD", "dram_addr", 2**32 - 1, "access", "transfer at DRAM bytes"),
    ("LOAD", "sram_addr", 1, "access", "transfer at SRAM bytes 1..4097, the SRAM has 4096"),
    ("STORE", "dram_addr", 4095, "access", "overlap the constants at 0..[0-9]+$"),
    ("LOAD", "source", 3, "instruction", "source = 3 is outside 0..2"),
    ("LOAD", "wait", 1, "tokens", "its own engine"),
    ("STORE", "wait", 2, "tokens", "waits for ever for a token from the array engine"),
    ("LOAD", "signal", 2, "tokens", "1 tokens from the load engine to the array engine are never taken"),
]


@pytest.mark.parametrize(("name", "field", "value", "kind", "message"), FIELDS)
def test_a_field_outside_its_limits_is_named(name: str, field: str, value: int, kind: str, message: str) -> None:
    program, index = find(name)
    Simulator(program)
    with pytest.raises(SimulatorError, match=message) as caught:
        Simulator(changed(program, index, **{field: value}))
    assert caught.value.kind == kind
    assert "instruction " in str(caught.value) or kind == "tokens"


def test_a_machine_without_a_table_looks_nothing_up() -> None:
    """Neither simulator's does."""
    program, _ = find("LOOKUP")
    without = dataclasses.replace(program, arch=dataclasses.replace(program.arch, activation_table=0))
    assert "(LOOKUP): the machine has no activation table (activation_table = 0)" in str(refusal(without))
    with pytest.raises(SimulationError, match="has no activation table"):
        reference.run(without, random_input(without, 0), check_hazards=False)


SHAPES = Architecture(array_shapes=32 | 4)
CONVOLUTIONS = [
    ({"rows": 0}, "instruction", "rows = 0 is outside 1..4096"),
    ({"rows": 16}, "instruction", r"rows = 16, the array has 64 or those of a further shape \(array_shapes = 36\)"),
    ({"rows": 36}, "instruction", "rows = 36, the array has 64"),
    ({"rows": 32}, "sequence", "rows = 32, the array's shape has 64"),
    ({"out_c": 65}, "instruction", "out_c = 65 is outside 1..64"),
    ({"steps": 65026}, "instruction", "steps = 65026 is outside 0..65025"),
    ({"out_c": 64}, "instruction", "more weights than the SRAM has bytes"),
    ({"steps": 1, "mask_addr": 2**32 - 1}, "access", "bitmap at SRAM bytes 4294967295..4294975424, the SRAM has"),
    ({"steps": 0, "weight_addr": 2**32 - 1}, "access", "weights at SRAM bytes"),
    ({"pool_h": 13, "pool_w": 5}, "instruction", r"pool_h \* pool_w = 65 is outside 1..64"),
    ({"add": 1, "pool_w": 2}, "instruction", r"pool_h \* pool_w \(add = 1\) = 2 is outside 1..1"),
    ({"add": 1, "add_addr": 2**32 - 1}, "access", "second operand at SRAM bytes"),
    ({"add": 1, "add_image_stride": 2**32 - 1, "n": 2}, "access", "second operand at SRAM bytes"),
    ({"add": 1, "shift_a": 17}, "instruction", "shift_a = 17 is outside 0..16"),
    ({"add": 1, "shift_b": 17}, "instruction", "shift_b = 17 is outside 0..16"),
    ({"add": 1, "add_lo": 1}, "instruction", "add_lo = 1 is outside -128..0"),
]


@pytest.mark.parametrize(("values", "kind", "message"), CONVOLUTIONS)
def test_what_a_convolution_must_keep_to(values: dict[str, int], kind: str, message: str) -> None:
    program = long_sum_program(SHAPES, 1, 1)
    Simulator(program)
    with pytest.raises(SimulatorError, match=message) as caught:
        Simulator(changed(program, 2, **values))
    assert caught.value.kind == kind


def test_too_many_cycles_are_refused_even_beyond_64_bits() -> None:
    program = long_sum_program(Architecture(mac_interval=64), 1, 1)
    error = refusal(changed(program, 2, out_h=500, out_w=2000, pool_h=8, pool_w=8))
    assert "takes 4161600000077 cycles from cycle" in str(error) and "more than 1099511627776" in str(error)
    huge = long_sum_program(Architecture(mac_interval=64, sram_bytes=2**31, array_rows=1, array_columns=1), 1, 1)
    fields = {"in_h": 0, "in_c": 32767, "steps": 255 * 255 * 32767, "out_h": 32767, "out_w": 65535}
    strides = dict.fromkeys(("out_pixel_stride", "out_row_stride", "in_addr"), 0)
    assert "takes 18446744073709551615 cycles" in str(refusal(changed(huge, 2, **fields, **strides)))


def test_further_shapes_are_for_convolutions() -> None:
    program = long_sum_program(SHAPES, 1, 1)
    flat = changed(changed(program, 1, rows=4), 2, rows=4)
    assert Simulator(flat).timing.cycles == timing.timing(flat).cycles
    assert "in this mode" in str(refusal(changed(flat, 1, mode=1)))
    assert refusal(changed(flat, 1, rows=64)).kind == "sequence"


def test_every_shape_has_all_pes() -> None:
    program = long_sum_program(Architecture(), 1, 1)
    words = program.arch.as_words()
    names = [field.name for field in dataclasses.fields(Architecture)]
    new = dict(zip(names, words, strict=True)) | {"array_rows": 2, "array_columns": 33, "array_shapes": 4}
    wrong = list(new.values())
    packed, other = (struct.pack(f"<{len(words)}q", *some) for some in (words, wrong))
    error = refusal(with_checksum(program.to_bytes().replace(packed, other)))
    assert error.kind == "arch" and "array_shapes = 4: 4 rows do not divide 66 PEs" in str(error)


def test_strides_cannot_overflow_the_bounds_check() -> None:
    program, index = find("CONV")
    huge = {"in_image_stride": 2**32 - 1, "in_row_stride": 2**32 - 1, "n": 2, "in_h": 65535, "in_w": 65535}
    assert refusal(changed(program, index, **huge)).kind in ("access", "instruction")
    program, index = find("LOAD")
    strides = {"dram_row_stride": 2**32 - 1, "dram_plane_stride": 2**32 - 1, "rows": 3, "planes": 2, "bytes": 1}
    assert refusal(changed(program, index, **strides)).kind == "access"


def with_code(program: Program, instructions: list[Instruction]) -> Program:
    return dataclasses.replace(program, instructions=tuple(instructions))


def test_halt_is_the_last_instruction_and_the_only_one() -> None:
    program, _ = find("POOL")
    code = list(program.instructions)
    for wrong in (code[:-1], [make("HALT"), *code], [*code, make("HALT")]):
        assert "HALT must be the last instruction" in str(refusal(with_code(program, wrong)))
    assert refusal(with_code(program, [])).kind == "format"


def test_partial_sums_belong_to_their_layer() -> None:
    program, index = find("DENSE")
    first = changed(changed(program, index, first=1, last=0), index, first=1, last=0)
    code = list(first.instructions)
    dense = code[index]
    code = code[: index + 1] + [at for at in code[index + 1 :] if at.name != "DENSE"]
    assert "without last = 1 are in the PEs" in str(refusal(with_code(program, code)))
    assert "while sums are unfinished" in str(refusal(with_code(program, [*code[:-1], dense, code[-1]])))
    other = dataclasses.replace(dense, values={**dense.values, "first": 0, "last": 1, "n": dense["n"] + 1})
    assert refusal(with_code(program, [*code[:-1], other, code[-1]])).kind in ("sequence", "instruction", "access")


def test_engines_that_wait_for_each_other_are_found_by_both_models() -> None:
    program, index = find("ELTWISE")
    stuck = changed(changed(program, 0, wait=0b010, signal=0), index, wait=0, signal=0b001)
    code = list(stuck.instructions)
    code[index] = code[index].with_tokens(0b001, 0b001)
    code[0] = code[0].with_tokens(0b010, 0b010)
    assert refusal(with_code(program, code)).kind == "tokens"
    with pytest.raises(timing.DeadlockError):
        timing.timing(with_code(program, code))


def test_tensors_must_fit_the_dram_and_their_own_shape() -> None:
    program = random_program(3)
    tensor = program.inputs[0]
    for wrong in (
        dataclasses.replace(tensor, address=program.dram_bytes - 1),
        dataclasses.replace(tensor, address=2**63),
        dataclasses.replace(tensor, address=0),
        dataclasses.replace(tensor, stored=(2, 4, 8, 9)),
        dataclasses.replace(tensor, stored=(0, 4, 8, 8)),
        dataclasses.replace(tensor, shape=(2**32 - 1, 2**32 - 1), stored=(1, 1, 1, 1)),
    ):
        error = refusal(dataclasses.replace(program, inputs=(wrong,)))
        assert error.kind == "tensor"
        assert "'x'" in str(error)


def test_the_architecture_has_limits() -> None:
    program = random_program(3)
    words = program.arch.as_words()
    data = program.to_bytes()
    packed = struct.pack(f"<{len(words)}q", *words)
    for index in range(len(words)):
        for value in (-1, 2**62):
            wrong = struct.pack(f"<{len(words)}q", *words[:index], value, *words[index + 1 :])
            assert refusal(with_checksum(data.replace(packed, wrong))).kind == "arch"
    assert isinstance(program.arch, Architecture)


def test_inputs_of_another_shape_type_or_number_are_named() -> None:
    program = random_program(3)
    simulator = Simulator(program)
    good = random_input(program, 0)
    with pytest.raises(ValueError, match=r"input 'x': int8\(2, 255\) given, int8\(2, 256\) expected"):
        simulator.run([good[0][:, 1:]])
    with pytest.raises(ValueError, match=r"input 'x': uint8\(2, 256\) given"):
        simulator.run([good[0].view(np.uint8)])
    with pytest.raises(ValueError, match="2 inputs given, the program takes 1: x"):
        simulator.run(good * 2)
    strided = np.repeat(good[0], 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(simulator.run([strided]).outputs[0], simulator.run(good).outputs[0])


def test_two_tensors_and_none() -> None:
    program = random_program(3)
    output = program.outputs[0]
    second = ProgramTensor("first bytes", (1, 8), (1, 8, 1, 1), output.address)
    result = Simulator(dataclasses.replace(program, outputs=(output, second))).run(random_input(program, 1))
    assert result.outputs[1].shape == (1, 8)
    assert Simulator(dataclasses.replace(program, outputs=())).run(random_input(program, 1)).outputs == []
