"""What a program shows of itself is what its graph means, tensor by tensor, and showing it changes no instruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tests.codegen.networks import random_graph
from tests.graph_eval import evaluate
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.observed import observe
from tvm_re2na.runtime import hazards, reference
from tvm_re2na.runtime.library import Simulator

Int8Array = npt.NDArray[np.int8]


def all_of(graph: Graph, inputs: list[Int8Array], arch: Architecture) -> dict[str, Int8Array]:
    """Every tensor that the operators of a graph make, by name."""
    names = tuple(op.output for op in graph.ops)
    return dict(zip(names, evaluate(replace(graph, outputs=names), inputs, arch), strict=True))


def plain(instruction: Instruction) -> Instruction:
    return instruction.with_tokens(0, 0)


@pytest.mark.parametrize("seed", range(40))
def test_every_tensor_is_what_the_graph_means(seed: int) -> None:
    """Much memory, and so little that tensors are cut in strips and spilled."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 7, lookups=seed % 3 == 0)
    arch = Architecture(sram_bytes=(1536, 8192, 1572864)[seed % 3], activation_table=1, acc_bits=32)
    try:
        found = observe(graph, arch)
    except CompileError:  # too small for this graph
        found = observe(graph, replace(arch, sram_bytes=16384))
    inputs = [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]
    means = all_of(fold(graph), inputs, arch)
    outputs = Simulator(found.program).run(inputs).outputs
    seen = 0
    for tensor in found.tensors:
        if tensor.name in means:
            exists = tensor.exists()
            np.testing.assert_array_equal(tensor.read(outputs)[exists], means[tensor.name][exists], tensor.name)
            seen += int(exists.sum())
    assert seen > 0
    first = Simulator(found.original).run(inputs).outputs
    for mine, its in zip(first, outputs, strict=False):
        np.testing.assert_array_equal(mine, its)


def test_the_instructions_are_those_of_the_program() -> None:
    rng = np.random.default_rng(5)
    graph = random_graph(rng, 8, batch=2)
    arch = Architecture(sram_bytes=8192)
    found = observe(graph, arch)
    assert found.original == compile_graph(graph, arch)
    kept = [plain(each) for each in found.program.instructions]
    for instruction in map(plain, found.original.instructions):
        assert instruction in kept, "in order"
        kept = kept[kept.index(instruction) + 1 :]
    own = list(map(plain, found.original.instructions))
    assert {each.name for each in found.program.instructions if plain(each) not in own} == {"STORE"}
    hazards.check(found.program)


def test_the_reference_agrees() -> None:
    rng = np.random.default_rng(11)
    graph = random_graph(rng, 5, batch=1, size=7)
    found = observe(graph, Architecture(sram_bytes=4096))
    inputs = [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]
    mine, its = Simulator(found.program).run(inputs).outputs, reference.run(found.program, inputs).outputs
    for tensor in found.tensors:
        exists = tensor.exists()
        np.testing.assert_array_equal(tensor.read(mine)[exists], tensor.read(its)[exists])
