"""No convolution is too large: what the rule of the SRAM lets through is compiled, in parts of its sums where it must be."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Window
from tvm_re2na.codegen.offload.needs import sram_bytes
from tvm_re2na.codegen.offload.operator import Operator, Tensor


def convolution(
    rng: np.random.Generator, channels: int, outputs: int, kernel: int, size: int, batch: int = 1, stride: int = 1
) -> Graph:
    """Depthwise where `outputs` is 0."""
    groups = 1 if outputs else channels
    pad = int(rng.integers(0, kernel // 2 + 1))
    window = Window((kernel, kernel), (stride, stride), (pad,) * 4)
    weight = rng.integers(-9, 10, (outputs or channels, channels // groups, kernel, kernel)).astype(np.int8)
    bias = rng.integers(-900, 900, len(weight)).astype(np.int32)
    builder = GraphBuilder("net")
    x = builder.input("x", (batch, channels, size, size))
    return builder.build([builder.append(Conv2d("conv", (x,), "y", weight, bias, window, groups, Cut(6)))])


def least_bytes(graph: Graph, rows: int) -> int:
    """The smallest SRAM that the rule takes for enough."""
    (op,) = graph.ops
    assert isinstance(op, Conv2d)
    tensors = (Tensor(graph.shapes["x"]),), Tensor(graph.shapes["y"])
    operator = Operator("conv2d", *tensors, weight=op.weight, window=op.window, groups=op.groups)
    size = 1024
    while (needed := sram_bytes(operator, Architecture(array_rows=rows, sram_bytes=size))) > size:
        size = needed
    return size


@pytest.mark.parametrize("seed", range(4))
def test_what_the_rule_lets_through_is_compiled(seed: int) -> None:
    rng, parts = np.random.default_rng(seed), 0
    for _ in range(60):
        channels, kernel = int(rng.choice([1, 3, 30, 64, 130, 256])), int(rng.choice([1, 3, 5, 7]))
        outputs, size = int(rng.choice([0, 1, 5, 64, 70])), int(rng.integers(kernel, 15))
        graph = convolution(rng, channels, outputs, kernel, size, int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        rows = int(rng.choice([8, 32, 64]))
        program = compile_graph(graph, Architecture(array_rows=rows, sram_bytes=least_bytes(graph, rows)))
        parts += any(at.name == "CONV" and not at["last"] for at in program.instructions)
    assert parts > 5


@pytest.mark.parametrize(("channels", "outputs", "size"), [(256, 70, 12), (300, 64, 7), (128, 128, 28)])
@pytest.mark.parametrize("kilobytes", [24, 48, 96])
def test_sums_in_parts_are_those_of_the_whole(channels: int, outputs: int, size: int, kilobytes: int) -> None:
    graph = convolution(np.random.default_rng(channels), channels, outputs, 3, size)
    program = check(graph, Architecture(sram_bytes=kilobytes * 1024))
    parts = [at for at in program.instructions if at.name == "CONV" and not (at["first"] and at["last"])]
    assert parts or kilobytes == 96
    assert not any(at["first"] for at in parts if at["last"])


def test_a_block_of_a_depthwise_layer_loads_its_channels_alone() -> None:
    graph = convolution(np.random.default_rng(0), 640, 0, 3, 13)
    program = check(graph, Architecture(sram_bytes=40 * 1024))
    loads = [at for at in program.instructions if at.name == "LOAD"]
    moved = sum(at["bytes"] * at["rows"] * at["planes"] for at in loads)
    assert moved == 640 * 13 * 13 + 640 * (9 + 4)
