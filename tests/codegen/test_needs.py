"""No operator is too large: what the rule of the SRAM lets through is compiled, in parts of its sums or of its rows if need be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Window
from tvm_re2na.codegen.offload.lowering import append_operator
from tvm_re2na.codegen.offload.needs import sram_bytes
from tvm_re2na.codegen.offload.operator import KINDS, Operator, Rescale, Tensor
from tvm_re2na.runtime import hazards


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


def least_machine(op: Operator, rows: int) -> Architecture:
    """That of the smallest SRAM that the rule takes for enough."""
    arch = Architecture(array_rows=rows, sram_bytes=1024, activation_table=1)
    while (needed := sram_bytes(op, arch)) > arch.sram_bytes:
        arch = replace(arch, sram_bytes=needed)
    return arch


def as_operator(graph: Graph) -> Operator:
    """As a front end finds the one convolution of a graph."""
    (op,) = graph.ops
    assert isinstance(op, Conv2d)
    tensors = (Tensor(graph.shapes["x"]),), Tensor(graph.shapes["y"])
    return Operator("conv2d", *tensors, weight=op.weight, window=op.window, groups=op.groups)


def wide(rng: np.random.Generator, kind: str) -> Operator:
    """On a tensor whose rows are long."""
    batch, channels, height = int(rng.integers(1, 3)), int(rng.choice([4, 40, 130])), int(rng.integers(3, 7))
    shape = batch, channels, height, int(rng.integers(40, 90))
    x, exact = Tensor(shape), (Rescale((1.0,), (1.0,)),)
    same = Operator(kind, (x,), x, layouts=("NCHW",))
    if kind == "dense":
        weight, bias = rng.integers(-9, 10, (70, 40 * channels)).astype(np.int8), np.zeros(70, np.int32)
        images = 4 * batch
        sizes = (Tensor((images, 40 * channels)),), Tensor((images, 70))
        return Operator(kind, *sizes, exact, weight=weight, bias=bias)
    if kind in ("add", "sub", "max", "min"):
        return replace(same, inputs=(x, x), rescales=exact * 2)
    if kind == "mul":
        return replace(same, inputs=(x, Tensor((batch, channels, 1, 1))), rescales=exact)
    if kind == "concat":
        axis = int(rng.integers(1, 4))
        size = shape[axis]
        return replace(same, inputs=(x, x), output=resized(shape, axis, 2 * size), axis=axis, operands=(0, 1))
    if kind == "take":
        order = rng.permutation(channels)[: channels // 2]
        return replace(same, output=resized(shape, 1, len(order)), channels=order, window=Window((1, 1)))
    if kind == "lookup":
        return replace(same, table=rng.integers(-128, 128, 256).astype(np.int8))
    if kind == "reshape":
        return replace(same, output=Tensor((batch, height, channels, shape[3])))
    if kind == "pad":
        window = Window((1, 1), padding=(5, 9, 0, 3))
        return replace(same, output=Tensor((*shape[:2], height + 5, shape[3] + 12)), window=window)
    factors = (2, 2) if kind == "depth_to_space" else (1, 3)
    many = factors[0] * factors[1] if kind == "depth_to_space" else 1
    made = Tensor((batch, channels // many, height * factors[0], shape[3] * factors[1]))
    if kind in ("resize2d", "depth_to_space"):
        return replace(same, output=made, factors=factors, channels=np.arange(channels))
    stride = int(rng.integers(1, 4))
    if kind == "max_pool2d":
        window = Window((3, 5), (1, stride), (1, 2, 1, 2))
        return replace(same, output=Tensor((*shape[:2], *window.output_size(*shape[2:]))), window=window)
    kernel = int(rng.integers(1, 6))
    window, outputs = Window((2, kernel), (2, stride)), int(rng.choice([3, 70]))
    return Operator(
        kind,
        (x,),
        Tensor((batch, outputs, 2 * height, (shape[3] - 1) * stride + kernel)),
        exact,
        weight=rng.integers(-9, 10, (outputs, channels, 2, kernel)).astype(np.int8),
        bias=np.zeros(outputs, np.int32),
        window=window,
    )


def resized(shape: tuple[int, ...], axis: int, size: int) -> Tensor:
    return Tensor((*shape[:axis], size, *shape[axis + 1 :]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("conv2d", "clip", "strided_slice")])
def test_rows_of_any_length_are_compiled(kind: str) -> None:
    """Of whatever the rule lets through, with both simulators."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        op, rows = wide(rng, kind), int(rng.choice([8, 64]))
        builder, arch = GraphBuilder(kind), least_machine(op, rows)
        inputs = tuple(builder.input(f"x{number}", tensor.sizes) for number, tensor in enumerate(op.inputs))
        graph = builder.build([append_operator(builder, kind, inputs, op, arch)])
        hazards.check(check(graph, arch, seed))


@pytest.mark.parametrize("seed", range(2))
def test_what_the_rule_lets_through_is_compiled(seed: int) -> None:
    rng, parts = np.random.default_rng(seed), 0
    for _ in range(12):
        channels, kernel = int(rng.choice([1, 3, 30, 64, 130, 256])), int(rng.choice([1, 3, 5, 7]))
        outputs, size = int(rng.choice([0, 1, 5, 64, 70])), int(rng.integers(kernel, kernel + 4))
        graph = convolution(rng, channels, outputs, kernel, size, int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        program = compile_graph(graph, least_machine(as_operator(graph), int(rng.choice([8, 32, 64]))))
        parts += any(at.name == "CONV" and not at["last"] for at in program.instructions)
    assert parts > 2


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
