"""Coded loads: what both simulators decode, what they refuse, how long it takes; whole networks with and without."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from tests.codegen.networks import random_graph
from tests.runtime.programs import changed
from tests.runtime.streams import random_weights
from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.coding.stream import Coder, interleaved
from tvm_re2na.codegen.coding.words import GOLOMB_PARAMETERS, CodeBook, best_book, golomb, huffman, magnitudes
from tvm_re2na.codegen.compiler import CompileError, compile_graph
from tvm_re2na.codegen.isa import make
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.runtime import hazards, reference, timing
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.instructions.machine import SimulationError
from tvm_re2na.runtime.library import Simulator, SimulatorError

CODINGS = (WeightCoding.GOLOMB, WeightCoding.HUFFMAN)
RNG = np.random.default_rng(3)
Values = npt.NDArray[np.uint8]


def machine(coding: WeightCoding, lanes: int = 64) -> Architecture:
    return Architecture(weight_coding=coding, decoder_bytes_per_cycle=lanes)


def program_of(arch: Architecture, stream: bytes, count: int) -> Program:
    """Decodes a stream of `count` values, behind 5 bytes of other constants, and stores them."""
    strides = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    run = {"sram_addr": 3, "bytes": count, "rows": 1, "planes": 1, **strides}
    address = len(stream) + 5
    return Program(
        arch=arch,
        inputs=(),
        outputs=(ProgramTensor("y", (1, count), (1, count, 1, 1), address),),
        instructions=(
            make("LOAD", **run, dram_addr=5, coded=len(stream)).with_tokens(0, 0b100),
            make("STORE", **run, dram_addr=address).with_tokens(0b001, 0),
            make("HALT"),
        ),
        constants=b"other" + stream,
        constants_address=0,
        dram_bytes=address + count,
        sources=(),
    )


def coder(arch: Architecture, book: CodeBook) -> Coder:
    return Coder(book, arch.decoder_bytes_per_cycle, arch.dram_bytes_per_cycle)


def decoded(program: Program) -> Values:
    """By the reference."""
    return reference.run(program, []).outputs[0].view(np.uint8).reshape(-1)


def all_coded(arch: Architecture, values: Values, book: CodeBook) -> bytes:
    """However many bytes it takes."""
    return bytes(2) + book.parameters + interleaved(values, book, arch.decoder_bytes_per_cycle)


def check(arch: Architecture, values: Values, stream: bytes) -> None:
    program = program_of(arch, stream, values.size)
    np.testing.assert_array_equal(decoded(program), values)
    result = Simulator(program).run([])
    np.testing.assert_array_equal(result.outputs[0].view(np.uint8).reshape(-1), values)
    assert result.counters == reference.run(program, []).counters
    assert Simulator(program).timing == timing.timing(program)


CORNERS: dict[str, Values] = {
    "one byte": np.array([200], np.uint8),
    "zeros": np.zeros(1000, np.uint8),
    "one value": np.full(130, 128, np.uint8),
    "all different": np.arange(256, dtype=np.uint8),
    "few values, one of them far away": np.append(np.tile(np.array([0, 1, 255], np.uint8), 900), np.uint8(128)),
    "fewer than lanes": np.arange(63, dtype=np.uint8),
    "a chunk": random_weights(np.random.default_rng(4), 65535),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("lanes", [1, 7, 64, 256])
@pytest.mark.parametrize("values", CORNERS.values(), ids=CORNERS)
def test_what_was_coded_is_decoded(values: Values, lanes: int, coding: WeightCoding) -> None:
    arch, book = machine(coding, lanes), best_book(coding, magnitudes(values))
    check(arch, values, coder(arch, book).stream(values.tobytes(), 0))
    if values.size < 65535:
        check(arch, values, all_coded(arch, values, book))


@pytest.mark.parametrize("plain", [1, 64, 999, 1000])
def test_plain_bytes_come_first(plain: int) -> None:
    values = np.append(RNG.integers(0, 256, 500), RNG.integers(0, 3, 500)).astype(np.uint8)
    for coding in CODINGS:
        book = best_book(coding, magnitudes(values[plain:]))
        check(machine(coding), values, coder(machine(coding), book).stream(values.tobytes(), plain))


def test_every_code_decodes_every_value() -> None:
    """Also those that fit the values badly: escapes, and words of eleven bits."""
    values, arch = np.tile(np.arange(256, dtype=np.uint8), 3), machine(WeightCoding.GOLOMB, 5)
    for parameter in GOLOMB_PARAMETERS:
        check(arch, values, all_coded(arch, values, golomb(parameter)))
    steep = [*range(1, 8), *([11] * 15), *([0] * 106), 11]
    values, arch = np.tile(np.append(np.arange(22), 128), 20).astype(np.uint8), machine(WeightCoding.HUFFMAN, 5)
    check(arch, values, all_coded(arch, values, huffman(steep)))


STREAMS = [
    (WeightCoding.HUFFMAN, "00", "ends before its plain bytes are counted", 4),
    (WeightCoding.HUFFMAN, "0000", "ends before its code", 4),
    (WeightCoding.HUFFMAN, "000003 11", "ends before its code", 4),
    (WeightCoding.HUFFMAN, "000082", "more than 129 magnitudes", 4),
    (WeightCoding.HUFFMAN, "000002 0c 00", "a word of it is too long", 4),
    (WeightCoding.HUFFMAN, "000003 1101 00", "more than there are bits for", 4),
    (WeightCoding.HUFFMAN, "050000 0102030405", "more plain bytes than are wanted", 4),
    (WeightCoding.HUFFMAN, "040000 010203", "ends before its plain bytes do", 4),
    (WeightCoding.HUFFMAN, "000001 01", "ends before its last value", 4),
    (WeightCoding.HUFFMAN, "000000", "ends before its last value", 4),
    (WeightCoding.HUFFMAN, "000001 01 ffffffffffff", "no word of its code begins so", 1),
    (WeightCoding.HUFFMAN, "000001 01 0000000000", "longer than its values", 4),
    (WeightCoding.GOLOMB, "000010 00000000", "a number above 15", 4),
    (WeightCoding.GOLOMB, "000000 ff03", "no word of its code begins so", 1),
    (WeightCoding.GOLOMB, "000002 fe0a00", "no word of its code begins so", 1),
]


@pytest.mark.parametrize(("coding", "stream", "message", "count"), STREAMS)
def test_what_is_no_stream_is_refused(coding: WeightCoding, stream: str, message: str, count: int) -> None:
    program = program_of(machine(coding), bytes.fromhex(stream), count)
    with pytest.raises(SimulatorError, match=rf"instruction 0 \(LOAD\): the coded bytes at DRAM 5\.\..*: .*{message}"):
        Simulator(program)
    with pytest.raises(SimulationError, match=r"instruction 0 \(LOAD\): .*stream"):
        reference.run(program, [])


def test_damaged_streams_are_refused_by_both_or_mean_the_same() -> None:
    accepted = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        arch = machine(CODINGS[seed % 2], int(rng.choice([1, 3, 64])))
        values = random_weights(rng, int(rng.choice([1, 20, 90])))
        stream = coder(arch, best_book(arch.weight_coding, magnitudes(values))).stream(values.tobytes(), 0)
        damaged = bytearray(stream)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        program = program_of(arch, bytes(damaged[: len(damaged) - int(rng.integers(4) == 0)]), values.size)
        try:
            result = Simulator(program).run([])
        except SimulatorError:
            with pytest.raises(SimulationError):
                reference.run(program, [])
            continue
        accepted += 1
        np.testing.assert_array_equal(result.outputs[0].view(np.uint8).reshape(-1), decoded(program))
    assert 50 < accepted < 550


RULES = [
    ({"rows": 2}, "1 planes of 2 rows of 4 bytes are coded", "1 planes of 2 rows of 4 bytes are coded"),
    ({"planes": 2}, "2 planes of 1 rows of 4 bytes are coded", "2 planes of 1 rows of 4 bytes are coded"),
    (
        {"bytes": 65536},
        "65536 bytes are coded, it can be one run of 65535",
        "65536 bytes are coded, it can be one run of 65535",
    ),
    ({"dram_addr": 6}, r"coded bytes at DRAM 6\.\.", "not among the constants"),
    ({"sram_addr": 2**21}, "transfer at SRAM bytes", "touches SRAM address"),
]


@pytest.mark.parametrize(("values", "message", "reason"), RULES)
def test_a_coded_run_keeps_to_the_rules(values: dict[str, int], message: str, reason: str) -> None:
    program = program_of(machine(WeightCoding.GOLOMB), bytes.fromhex("000000 00000000"), 4)
    Simulator(program)
    wrong = changed(program, 0, **values)
    with pytest.raises(SimulatorError, match=message):
        Simulator(wrong)
    with pytest.raises(SimulationError, match=reason):
        reference.run(wrong, [], check_hazards=False)


def test_a_machine_without_a_decoder_decodes_nothing() -> None:
    program = program_of(machine(WeightCoding.GOLOMB), bytes.fromhex("000000 00000000"), 4)
    plain = dataclasses.replace(program, arch=Architecture())
    with pytest.raises(SimulatorError, match=r"coded = 7 is outside 0\.\.0"):
        Simulator(plain)
    with pytest.raises(SimulationError, match=r"coded = 7 is outside 0\.\.0"):
        reference.run(plain, [])


def test_it_takes_as_long_as_the_bus_or_the_decoder() -> None:
    values = np.zeros(1280, np.uint8)  # a bit each
    for lanes, bus, size, cycles in ((64, 4, 195, 49), (64, 24, 195, 20), (8, 24, 163, 160)):
        arch = dataclasses.replace(machine(WeightCoding.GOLOMB, lanes), dram_bytes_per_cycle=bus)
        stream = all_coded(arch, values, golomb(0))
        assert len(stream) == size  # 20 bits of each of 64 lanes are 3 bytes
        program = program_of(arch, stream, values.size)
        span = Simulator(program).timing.instructions[0]
        assert span.finish - span.start - arch.dram_latency == cycles
        operands = meaning(program.instructions[0]).operands(arch, program.instructions[0])
        assert (operands.dram, operands.sram_written) == (size, 1280)
        assert Simulator(program).run([]).counters.total.dram_bytes == size + 1280


@pytest.mark.parametrize("seed", range(40))
def test_networks_give_the_same_bits_with_and_without(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, layers=int(rng.integers(2, 8)), size=20, lookups=True)
    sram = int(rng.choice([16, 40, 1536])) * 1024
    plain = Architecture(sram_bytes=sram, activation_table=1)
    try:
        program = compile_graph(graph, plain)
    except CompileError:
        pytest.skip("does not fit")
    inputs = [rng.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in program.inputs]
    wanted = Simulator(program).run(inputs).outputs
    for coding in CODINGS:
        lanes = int(rng.choice([1, 16, 64]))
        coded = compile_graph(graph, dataclasses.replace(plain, weight_coding=coding, decoder_bytes_per_cycle=lanes))
        hazards.check(coded)
        result, expected = Simulator(coded).run(inputs), reference.run(coded, inputs)
        assert result.counters == expected.counters
        for output, other, first in zip(result.outputs, expected.outputs, wanted, strict=True):
            np.testing.assert_array_equal(output, other)
            np.testing.assert_array_equal(output, first)
