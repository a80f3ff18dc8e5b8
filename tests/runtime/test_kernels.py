"""Every kernel and every number of threads gives the reference's bits and counters."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.networks import random_graph
from tests.models.resnets import resnet_graph
from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import GraphBuilder
from tvm_re2na.codegen.graph.ops import Clip, Conv2d, Cut, Dense, Reshape, Window
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import library, reference
from tvm_re2na.runtime.library import LoadedProgram, Simulator, SimulatorError
from tvm_re2na.runtime.result import Int8Array, RunResult

SHARED = 100_000  # MACs of an instruction that threads surely divide


def same(result: RunResult, expected: RunResult) -> None:
    assert result.counters == expected.counters
    for output, wanted in zip(result.outputs, expected.outputs, strict=True):
        np.testing.assert_array_equal(output, wanted)


def check(program: Program, inputs: list[Int8Array], threads: tuple[int, ...] = (1, 2, 5)) -> RunResult:
    expected = reference.run(program, inputs, check_hazards=False)
    for kernel in library.kernels():
        loaded = LoadedProgram(program, kernel)
        for count in threads:
            simulator = Simulator(loaded, threads=count)
            for _ in range(2):
                same(simulator.run(inputs), expected)
    return expected


def images(program: Program, seed: int, values: tuple[int, ...] = ()) -> list[Int8Array]:
    rng = np.random.default_rng(seed)
    shapes = [tensor.shape for tensor in program.inputs]
    draw = (lambda shape: rng.choice(values, shape)) if values else (lambda shape: rng.integers(-128, 128, shape))
    return [draw(shape).astype(np.int8) for shape in shapes]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs(seed: int) -> None:
    program = random_program(seed, ("CONV", "CONV", "DENSE", "ELTWISE", "POOL", "LOAD"), length=6)
    check(program, random_input(program, seed), threads=(1,))


@pytest.mark.parametrize("seed", range(12))
def test_networks_that_threads_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    macs = 0
    while macs < SHARED:
        program = compile_graph(random_graph(rng, layers=6, size=40))
        inputs = images(program, seed)
        macs = int(Simulator(program).run(inputs).counters.instruction_table[:, 0].max(initial=0))
    check(program, inputs)


def test_resnet() -> None:
    program = compile_graph(resnet_graph(18, size=64, batch=2))
    check(program, images(program, 3), threads=(1, 3))


@pytest.mark.parametrize("acc_overflow", list(AccOverflow))
def test_saturating_and_wrapping_share_too(acc_overflow: AccOverflow) -> None:
    arch = Architecture(acc_overflow=acc_overflow, acc_bits=12)
    program = compile_graph(resnet_graph(18, size=32), arch)
    result = check(program, images(program, 5), threads=(1, 3))
    assert result.counters.total.overflows > 0


EXTREMES = {"largest": (127,), "smallest": (-128,), "both": (-128, 127), "mostly small": (*range(-20, 21), 127, -128)}
CHANNELS = (1, 3, 16, 63, 64, 65)  # of 9 steps each: a quad, a chunk, and their edges


@pytest.mark.parametrize("lowest", [-128, 0])
@pytest.mark.parametrize("weights", EXTREMES.values(), ids=EXTREMES.keys())
@pytest.mark.parametrize("channels", CHANNELS)
def test_products_that_int16_cannot_add(channels: int, weights: tuple[int, ...], lowest: int) -> None:
    """The largest inputs times the largest weights, signed inputs and not: what VPMADDUBSW would saturate."""
    program = extreme_program(channels, weights, lowest)
    check(program, images(program, channels, (-128, 127)), threads=(1,))


def extreme_program(channels: int, weights: tuple[int, ...], lowest: int) -> Program:
    """Two convolutions, the second depthwise, and a dense layer; inputs are clipped to lowest..127."""
    rng = np.random.default_rng(channels)
    builder = GraphBuilder("extreme")
    x = builder.input("x", (1, channels, 5, 9))
    x = builder.append(Clip("clip", (x,), "clip", lowest, 127))
    for groups, outputs in ((1, 20), (20, 20)):
        weight = rng.choice(weights, (outputs, builder.shape(x)[1] // groups, 3, 3)).astype(np.int8)
        bias = rng.integers(-(2**16), 2**16, outputs).astype(np.int32)
        name = f"conv_{groups}"
        window = Window((3, 3), (1, 1), (1, 1, 1, 1))
        x = builder.append(Conv2d(name, (x,), name, weight, bias, window, groups, Cut(9, lowest, 127)))
    weight = rng.choice(weights, (10, 20 * 5 * 9)).astype(np.int8)
    x = builder.append(Dense("dense", (flat(builder, x),), "dense", weight, np.zeros(10, np.int32), Cut(9)))
    return compile_graph(builder.build([x]))


@pytest.mark.parametrize("weights", ["small", "both", "mostly small"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("side", [3, 5])
def test_depthwise_convolutions_by_rows(side: int, stride: tuple[int, int], weights: str) -> None:
    """Rows longer and shorter than a strip, blocks of channels that are not full, padding on each side; sums that overflow."""
    cases = (
        (1, (7, 70), -128, 17),
        (20, (1, 1), 0, 17),
        (33, (4, 7), -128, 10),
        (64, (3, 40), 0, 17),
        (64, (5, 5), 0, 10),
    )
    for index, (channels, size, lowest, acc_bits) in enumerate(cases):
        program = depthwise_program(side, stride, channels, size, lowest, acc_bits, weights)
        check(program, images(program, index, (-128, 127) if index % 2 else ()), threads=(1,))


def test_a_large_depthwise_window_of_few_steps() -> None:
    """Room is taken for what is packed: absent steps too."""
    weight = np.zeros((5, 1, 15, 15), np.int8)
    weight[:, 0, 3, (2, 9)] = 77
    builder = GraphBuilder("few")
    window = Window((15, 15), (1, 1), (7, 7, 7, 7))
    x = builder.input("x", (1, 5, 9, 11))
    x = builder.append(Conv2d("conv", (x,), "conv", weight, np.arange(5, dtype=np.int32), window, 5, Cut(8)))
    program = compile_graph(builder.build([x]))
    check(program, images(program, 1), threads=(1,))


def depthwise_program(
    side: int, stride: tuple[int, int], channels: int, size: tuple[int, int], lowest: int, acc_bits: int, weights: str
) -> Program:
    rng = np.random.default_rng(channels)
    builder = GraphBuilder("depthwise")
    x = builder.append(Clip("clip", (builder.input("x", (1, channels, *size)),), "clip", lowest, 127))
    weight = rng.choice(EXTREMES.get(weights, range(-9, 10)), (channels, 1, side, side)).astype(np.int8)
    weight[:, :, 1, size[0] % side] = 0  # a step that the compiler leaves out
    bias = rng.integers(-400, 400, channels).astype(np.int32)
    window = Window((side, side), stride, (side // 2, 1, side // 2, side - 1))
    x = builder.append(Conv2d("conv", (x,), "conv", weight, bias, window, channels, Cut(acc_bits // 2, lowest, 100)))
    wraps = CutOverflow.WRAP if acc_bits == 10 else CutOverflow.SATURATE
    return compile_graph(builder.build([x]), Architecture(acc_bits=acc_bits, cut_overflow=wraps))


@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (5, 1), (2, 5), (3, 4)])
def test_pointwise_convolutions_of_a_batch(size: tuple[int, int], stride: tuple[int, int]) -> None:
    """Kernels read a 1x1 convolution's inputs where they lie if its pixels follow each other, from image to image too."""
    for batch, channels, lowest in itertools.product((1, 2, 3), (5, 64), (-128, 0)):
        program = pointwise_program(batch, channels, size, stride, lowest)
        check(program, images(program, channels), threads=(1, 2))


def pointwise_program(
    batch: int, channels: int, size: tuple[int, int], stride: tuple[int, int], lowest: int
) -> Program:
    rng = np.random.default_rng(channels)
    builder = GraphBuilder("pointwise")
    x = builder.append(Clip("clip", (builder.input("x", (batch, channels, *size)),), "clip", lowest, 127))
    weight = rng.integers(-128, 128, (32, channels, 1, 1)).astype(np.int8)
    bias = rng.integers(-900, 900, 32).astype(np.int32)
    return compile_graph(
        builder.build([builder.append(Conv2d("conv", (x,), "conv", weight, bias, Window((1, 1), stride), 1, Cut(8)))])
    )


def flat(builder: GraphBuilder, x: str) -> str:
    shape = builder.shape(x)
    return builder.append(Reshape("flat", (x,), "flat", (shape[0], int(np.prod(shape[1:])))))


def test_overflows_need_not_be_counted() -> None:
    program = compile_graph(resnet_graph(18, size=32), Architecture(acc_bits=12))
    inputs = images(program, 1)
    watched, unwatched = Simulator(program).run(inputs), Simulator(program, count_overflows=False).run(inputs)
    assert watched.counters.total.overflows > 0
    assert unwatched.counters.total.overflows == 0
    np.testing.assert_array_equal(watched.outputs[0], unwatched.outputs[0])


def test_profiling_times_every_instruction() -> None:
    program = compile_graph(resnet_graph(18, size=64))
    simulator = Simulator(program, profile=True)
    simulator.run(images(program, 1))
    times = simulator.nanoseconds()
    assert times.shape == (len(program.instructions),)
    assert times.sum() > 100_000
    with pytest.raises(RuntimeError, match="profile"):
        Simulator(program).nanoseconds()


def test_one_loaded_program_serves_many_threads() -> None:
    program = random_program(11, length=6)
    loaded = LoadedProgram(program)
    inputs = random_input(program, 11)
    expected = reference.run(program, inputs, check_hazards=False)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: Simulator(loaded).run(inputs), range(64)):
            same(result, expected)


def test_what_is_not_there_is_named() -> None:
    program = random_program(2)
    assert library.kernels()[:2] == ("auto", "portable")
    assert LoadedProgram(program, "portable").kernel == "portable"
    with pytest.raises(ValueError, match="kernel 'sse': this processor has auto, portable"):
        Simulator(program, kernel="sse")
    for threads in (0, 257, -1, 2**32):
        with pytest.raises(SimulatorError, match=rf"threads = {threads} is outside 1\.\.256"):
            Simulator(program, threads=threads)
        with pytest.raises(SimulatorError, match=rf"threads = {threads} is outside 1\.\.256"):
            library.bridge_set_threads(threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_goes_on_without_the_threads() -> None:
    program = compile_graph(resnet_graph(18, size=64))
    inputs = images(program, 2)
    simulator = Simulator(program, threads=3)
    expected = simulator.run(inputs)

    def work(queue: multiprocessing.SimpleQueue[RunResult]) -> None:
        queue.put(simulator.run(inputs))

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    same(queue.get(), expected)
    process.join()
    assert process.exitcode == 0
    same(simulator.run(inputs), expected)


BRIDGED = """
import numpy as np
from tests.models.resnets import resnet_graph
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.runtime import library
program = compile_graph(resnet_graph(18, size=64))
values = np.random.default_rng(2).integers(-128, 128, program.inputs[0].shape).astype(np.int8)
output = np.empty(program.outputs[0].shape, np.int8)
data = program.to_bytes()
for _ in range(2):
    library.execute(data, [values], [output])
print(int(output.astype(int).sum()), library.bridge_totals()["runs"])
"""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, ""),
        ({"RE2NA_THREADS": "3", "RE2NA_KERNEL": "portable"}, ""),
        ({"RE2NA_THREADS": "0"}, "RE2NA_THREADS = '0' is no number in 1..256"),
        ({"RE2NA_THREADS": "two"}, "RE2NA_THREADS = 'two' is no number in 1..256"),
        ({"RE2NA_KERNEL": "mmx"}, "RE2NA_KERNEL = 'mmx' is no kernel"),
    ],
)
def test_the_bridge_reads_the_environment(variables: dict[str, str], message: str) -> None:
    program = compile_graph(resnet_graph(18, size=64))
    values = np.random.default_rng(2).integers(-128, 128, program.inputs[0].shape).astype(np.int8)
    expected = int(Simulator(program).run([values]).outputs[0].astype(int).sum())
    finished = subprocess.run(
        [sys.executable, "-c", BRIDGED], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    if message:
        assert message in finished.stderr
    else:
        assert finished.stdout.split() == [str(expected), "2"], finished.stderr
