"""Instructions that touch nothing of each other's run side by side. A forked process has no helpers: it does one member's part of
them all, then the next one's, so that an order that matters shows every time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.runtime.programs import in_order, random_program
from tests.runtime.test_kernels import images, same
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa import make
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import LoadedProgram, Simulator
from tvm_re2na.runtime.result import Int8Array, RunResult

Case = tuple[Simulator, list[Int8Array], RunResult]


def cases(programs: Iterator[Program]) -> list[Case]:
    """With two members and with three, and the result of one."""
    found = []
    for program in programs:
        loaded, inputs = LoadedProgram(program), images(program, 1)
        wanted = Simulator(loaded).run(inputs)
        found += [(Simulator(loaded, threads=threads), inputs, wanted) for threads in (2, 3)]
    return found


def in_a_fork(given: list[Case]) -> list[RunResult]:
    def work(queue: multiprocessing.SimpleQueue[list[RunResult]]) -> None:
        queue.put([simulator.run(inputs) for simulator, inputs, _ in given])

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    results: list[RunResult] = queue.get()
    process.join()
    return results


def random_programs() -> Iterator[Program]:
    for seed in range(60):
        yield random_program(seed, ("POOL", "ELTWISE", "LOOKUP", "LOAD"), length=20)
    for seed in range(20):
        yield random_program(seed, length=12)
    for seed in range(20):
        yield compile_graph(random_graph(np.random.default_rng(seed), 6))


def between_each_other() -> Iterator[Program]:
    """Each of two instructions takes 8 of the 16 channels of 64 pixels: the second takes what the first writes, some of it or none,
    or writes what the first takes. It comes as the second or as the third, and so to either member first."""
    filled = random_program(0, length=1)
    load, store = filled.instructions[0], filled.instructions[-2:]
    view = {"in_pixel_stride": 16, "in_row_stride": 128, "in_image_stride": 0}
    view |= {name.replace("in", "out", 1): stride for name, stride in view.items()}
    sizes = {"n": 1, "in_c": 8, "out_h": 8, "out_w": 8, "table_addr": 3072}
    for before in range(2):
        for source, target in ((1024, 0), (1028, 0), (1032, 0), (0, 1024), (0, 1028), (0, 1032), (2048, 2048)):
            body = [make("LOOKUP", **sizes, **view, in_addr=2048, out_addr=2056)] * before
            body += [make("LOOKUP", **sizes, **view, in_addr=0, out_addr=1024)]
            body += [make("LOOKUP", **sizes, **view, in_addr=source, out_addr=target)]
            yield in_order(replace(filled, instructions=(load, *body, *store)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("programs", [random_programs, between_each_other])
def test_no_order_matters(programs: Callable[[], Iterator[Program]]) -> None:
    given = cases(programs())
    for found, (simulator, inputs, wanted) in zip(in_a_fork(given), given, strict=True):
        same(found, wanted)
        for _ in range(3):
            same(simulator.run(inputs), wanted)
