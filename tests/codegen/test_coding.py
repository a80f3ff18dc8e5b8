"""Coded weights in the compiler: codes, streams, records in chunks, what is coded and what is not, and what it moves."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.codegen.test_bounds import dram_bytes, random_machine, zeroed
from tests.codegen.test_compiler import check, conv_graph
from tests.codegen.test_lookup import network
from tests.runtime.streams import random_weights
from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.coding.stream import CHUNK_BYTES, LAST_BYTES, MOST_BYTES, Coder, interleaved
from tvm_re2na.codegen.coding.words import (
    HUFFMAN_BITS,
    LONGEST_WORD,
    best_book,
    golomb,
    huffman,
    huffman_lengths,
    magnitudes,
)
from tvm_re2na.codegen.compiler import CompileError, compile_graph
from tvm_re2na.codegen.graph.bounds import network_bounds
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Conv2d, Window
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions.decoder import decode
from tvm_re2na.runtime.library import Simulator

CODINGS = (WeightCoding.GOLOMB, WeightCoding.HUFFMAN)
SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


def narrow(graph: Graph, width: float = 4.0) -> Graph:
    """Weights as training leaves them: most of them small."""
    for op in graph.ops:
        if isinstance(op, Conv2d):
            values = np.random.default_rng(1).laplace(0, width, op.weight.shape)
            op.weight[:] = np.clip(np.round(values), -128, 127)
    return graph


def loads(program: Program) -> list[tuple[int, int]]:
    """(bytes, coded) of each."""
    return [(at["bytes"], at["coded"]) for at in program.instructions if at.name == "LOAD"]


# ---- codes and streams


def test_huffman_lengths_are_the_best_of_at_most_so_many_bits() -> None:
    assert huffman_lengths([5, 1, 1, 0]) == [1, 2, 2, 0]
    assert huffman_lengths([0, 9]) == [0, 1]
    assert huffman_lengths([0, 0]) == [0, 0]
    fibonacci = [1, 1, 2, 3, 5, 8, 13]
    assert huffman_lengths(fibonacci) == [6, 6, 5, 4, 3, 2, 1]
    possible = (lengths for lengths in itertools.product(range(1, 5), repeat=7) if sum(0.5**n for n in lengths) <= 1)
    least = min(int(np.dot(fibonacci, lengths)) for lengths in possible)
    assert np.dot(fibonacci, huffman_lengths(fibonacci, 4)) == least > np.dot(fibonacci, huffman_lengths(fibonacci))


@pytest.mark.parametrize("seed", range(20))
def test_a_code_is_complete_and_near_the_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = magnitudes(random_weights(rng, 5000))
    lengths = huffman_lengths(counts.tolist())
    used = [length for length in lengths if length]
    assert max(used) <= HUFFMAN_BITS
    assert len(used) == 1 or sum(2**-length for length in used) == 1
    shares = counts[counts > 0] / counts.sum()
    entropy = -float((shares * np.log2(shares)).sum())
    assert entropy <= float(counts @ np.array(lengths)) / counts.sum() <= entropy + 1
    for coding in CODINGS:
        book = best_book(coding, counts)
        words = [format(word, f"0{length}b") for word, length in book.words if length]
        assert max(map(len, words)) < LONGEST_WORD
        ordered = sorted(words)
        assert not any(after.startswith(word) for word, after in itertools.pairwise(ordered))


def test_a_canonical_code_is_what_the_page_says() -> None:
    book = huffman([2, 1, 0, 3, 3])
    assert [format(word, f"0{length}b") if length else "" for word, length in book.words[:5]] == [
        "10",
        "0",
        "",
        "110",
        "111",
    ]
    assert book.parameters.hex() == "05123003"


def test_the_example_of_docs_coding() -> None:
    values = np.array([3, -1, 0, 2, 0, -7, 1], np.int8)
    stream = Coder(golomb(1), 2, 24).stream(values.tobytes() + bytes(20), 0)
    assert stream[:6].hex() == "000001a071d8"
    assert interleaved(values.view(np.uint8), golomb(1), 2).hex() == "a071d840"
    arch = Architecture(weight_coding=WeightCoding.GOLOMB, decoder_bytes_per_cycle=2)
    stated = np.frombuffer(bytes.fromhex("000001a071d840"), np.int8).astype(np.int64)
    np.testing.assert_array_equal(decode(arch, stated, values.size), values)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("size", "plain", "line"), [(40_000, 256, 64), (200_001, 0, 64), (100_000, 50_000, 7), (99_999, 0, 40_000)]
)
def test_records_are_cut_between_lines(size: int, plain: int, line: int, coding: WeightCoding) -> None:
    arch = Architecture(weight_coding=coding)
    data = np.clip(np.round(np.random.default_rng(size).laplace(0, 4, size)), -128, 127).astype(np.int8).tobytes()
    coder = Coder.of(arch, magnitudes(np.frombuffer(data[plain:], np.uint8)))
    assert coder is not None
    chunks = coder.record(data, plain, line)
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])] and chunks[-1].stop == size
    assert all(chunk.stop - chunk.start <= (MOST_BYTES if chunk is chunks[-1] else CHUNK_BYTES) for chunk in chunks)
    assert (
        all((chunk.stop - plain) % line == 0 for chunk in chunks[:-1] if chunk.stop > plain + line)
        or line > CHUNK_BYTES // 2
    )
    found = b""
    for chunk in chunks:
        assert chunk.offset == sum(len(before.coded) for before in chunks[: chunks.index(chunk)])
        stream = np.frombuffer(chunk.coded, np.int8).astype(np.int64)
        found += decode(arch, stream, chunk.stop - chunk.start).astype(np.int8).tobytes()
    assert found == data
    known = magnitudes(np.frombuffer(data[plain:], np.uint8))
    assert coder.bus_bytes(plain, known) == pytest.approx(sum(len(chunk.coded) for chunk in chunks), rel=0.02)


def test_what_remains_fits_a_load_though_its_code_is_no_good() -> None:
    arch, wide = Architecture(weight_coding=WeightCoding.HUFFMAN), np.arange(LAST_BYTES) % 256
    data = np.append(np.zeros(10 * CHUNK_BYTES), wide).astype(np.uint8)
    coder = Coder.of(arch, magnitudes(data))
    assert coder is not None
    chunks = coder.record(data.tobytes(), 0, 1)
    assert chunks[-1].stop - chunks[-1].start == LAST_BYTES < len(chunks[-1].coded) <= MOST_BYTES
    longer = coder.record(data.tobytes() + b"\x05", 0, 1)
    assert [chunk.stop - chunk.start for chunk in longer[-2:]] == [CHUNK_BYTES, LAST_BYTES + 1 - CHUNK_BYTES]


# ---- programs


@pytest.mark.parametrize("coding", CODINGS)
def test_weights_are_coded_and_everything_else_is_not(coding: WeightCoding) -> None:
    """Biases go with the weights as they are; inputs, tables and weights that gain nothing stay plain."""
    program = check(narrow(conv_graph(1, 32, 7, 150, SAME)), Architecture(weight_coding=coding))
    coded = [(size, coded) for size, coded in loads(program) if coded]
    assert sum(size for size, _ in coded) == 150 * (32 * 9 + 4)
    assert sum(size for _, size in coded) < 0.65 * 150 * (32 * 9 + 4)
    assert (32 * 49, 0) in loads(program)
    looking = compile_graph(network(), Architecture(weight_coding=coding, activation_table=1))
    assert (256, 0) in loads(looking)
    wide = conv_graph(1, 32, 7, 150, SAME)
    wide.ops[0].weight[:] = np.random.default_rng(0).integers(-128, 128, wide.ops[0].weight.shape)
    assert all(not coded for _, coded in loads(check(wide, Architecture(weight_coding=coding))))


def test_it_compounds_with_dropped_steps() -> None:
    """Of steps that a block drops nothing is left to code."""
    plain, coded = Architecture(), Architecture(weight_coding=WeightCoding.HUFFMAN)
    graph, pruned = narrow(conv_graph(1, 64, 7, 64, SAME)), zeroed(narrow(conv_graph(1, 64, 7, 64, SAME)), 400)
    whole, less, fewer, both = (
        network_bounds(of, arch).weight_bytes
        for of, arch in ((graph, plain), (graph, coded), (pruned, plain), (pruned, coded))
    )
    assert both - 256 - 72 == pytest.approx((less - 256) / (whole - 256) * (fewer - 256 - 72), rel=0.02)
    assert len(check(pruned, coded).constants) < 0.25 * whole


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_no_schedule_of_ours_beats_its_bounds(first: int) -> None:
    for seed in range(first, first + 40):
        rng = np.random.default_rng(seed)
        machine = dataclasses.replace(
            random_machine(np.random.default_rng(seed)),
            weight_coding=CODINGS[seed % 2],
            decoder_bytes_per_cycle=int(rng.choice([1, 8, 64])),
        )
        graph = random_graph(
            rng, layers=int(rng.integers(2, 10)), size=30, cuts=True, lookups=machine.activation_table == 1
        )
        try:
            program = compile_graph(narrow(graph) if seed % 3 else graph, machine)
        except CompileError:
            continue
        bound = program.meta["total"]
        assert Simulator(program).timing.cycles >= bound["cycles_bound"], seed
        assert dram_bytes(program) >= bound["dram_bytes_compulsory"], seed


@pytest.mark.parametrize("coding", CODINGS)
def test_the_bound_is_near(coding: WeightCoding) -> None:
    """Headers, and what is left of the lanes' last bytes."""
    arch = Architecture(weight_coding=coding)
    program = compile_graph(narrow(conv_graph(1, 256, 14, 256, SAME)), arch)
    assert 1 <= dram_bytes(program) / program.meta["total"]["dram_bytes_compulsory"] < 1.005
