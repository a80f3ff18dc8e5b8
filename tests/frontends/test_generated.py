"""2,000 generated cases: TVM's CPU, the C simulator and the reference simulator give the same bits.

Each pack of cases is judged by one of the two TVMs.
A case is a chain of one to three layers with its own shapes, strides, pads, groups, dilations, shifts, clips and batch. One in ten
comes through TVM's ONNX importer, the others are built in TVM as the importer would, in a third of the time. TVM builds the
functions of twenty cases for the CPU at once; everything else is each case's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest

from tests.frontends.harness import FrontEnd, Region, case, random_inputs, run_plain, share_of_this_front_end
from tests.frontends.qdq import QdqBuilder
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.library import Simulator, kernels

CASES = 2000
PACK = 20
LARGEST_SUM = 58_000  # of any int8 input: no accumulator may overflow here, or the CPU's bits would rightly differ
SRAM = (1536 * 1024, 64 * 1024, 32 * 1024)


class Chain:
    """Random layers, one after the other."""

    def __init__(self, builder: type, rng: np.random.Generator) -> None:
        self.rng = rng
        self.b = builder((self.pick(1, 2, 2, 3), self.pick(1, 3, 4, 8, 17), self.size(), self.size()), -6)

    def int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, *options: int) -> int:
        return options[self.int(0, len(options) - 1)]

    def pick_one(self, options: Sequence[Callable[[], None]]) -> Callable[[], None]:
        return options[self.int(0, len(options) - 1)]

    def size(self) -> int:
        """Of a map: one row or column, two, three, or some."""
        return self.pick(1, 2, 3, *range(4, 12))

    def stride(self, kernel: int, size: int) -> int:
        """Beyond the kernel, and at times beyond all but the first output."""
        return self.pick(1, 1, 1, 2, 2, kernel + 1, size)

    def grow(self) -> None:
        for position in range(self.pick(1, 1, 1, 2, 2, 3)):
            if len(self.b.current.shape) == 2:
                self.dense()
            else:
                computing = [self.conv, self.conv, self.pool, self.residual, self.scale, self.transposed, self.blocks]
                computing += [self.pair, self.pair, self.together]
                moving = [self.pad, self.pad, self.part, self.flat]
                self.pick_one([*computing, *moving] if position else computing)()
        self.b.output()

    def weight(self, *shape: int) -> np.ndarray:
        limit = max(1, min(127, LARGEST_SUM // 128 // int(np.prod(shape[1:]))))
        return self.rng.integers(-limit, limit + 1, shape).astype(np.int8)

    def bias(self, outputs: int) -> np.ndarray | None:
        return None if self.rng.random() < 0.3 else self.rng.integers(-4000, 4000, outputs).astype(np.int32)

    def exponents(self, x: Any) -> dict[str, int]:
        """A cut of 0 to 11 bits."""
        return {"weight_exponent": -6, "exponent": round(np.log2(x.scale)) - 6 + self.int(0, 11)}

    def activation(self) -> None:
        kind, scale = self.int(0, 3), self.b.current.scale
        if kind == 1:
            self.b.relu()
        elif kind == 2:
            self.b.clip(0, min(6, 127 * scale))
        elif kind == 3:
            self.b.clip(-self.int(0, 128) * scale, self.int(0, 127) * scale)

    def conv(self) -> None:
        x = self.b.current
        _, channels, height, width = x.shape
        groups = self.pick(1, 1, 2, channels)
        groups = groups if channels % groups == 0 else 1
        kernel = (self.int(1, min(3, height)), self.int(1, min(3, width)))
        room = all(size >= 2 * (k - 1) + 1 for size, k in zip((height, width), kernel, strict=True))
        dilation = self.int(1, 2) if room else 1
        outputs = groups * self.int(1, max(1, self.pick(12, 24, 96) // groups))
        self.b.conv(
            self.weight(outputs, channels // groups, *kernel),
            self.bias(outputs),
            **self.exponents(x),
            group=groups,
            strides=[self.stride(kernel[0], height), self.stride(kernel[1], width)],
            pads=[self.int(0, 2) for _ in range(4)],
            dilations=[dilation, dilation],
        )
        self.activation()

    def transposed(self) -> None:
        x = self.b.current
        channels, *image = x.shape[1:]
        groups = self.pick(1, 1, channels)
        outputs = groups * self.int(1, max(1, self.pick(6, 12, 70) // groups))
        kernel, strides = (self.int(1, 4), self.int(1, 4)), [self.int(1, 3 if max(image) < 16 else 1) for _ in range(2)]
        most = [(size - 1) * stride + k - 1 for size, stride, k in zip(image, strides, kernel, strict=True)]
        before = [self.int(0, min(2, size)) for size in most]
        behind = [self.int(0, min(2, size - cut)) for size, cut in zip(most, before, strict=True)]
        more = [self.int(0, stride - 1) for stride in strides]
        self.b.conv_transpose(
            as_convolution(self.weight(outputs, channels // groups, *kernel), groups),
            self.bias(outputs),
            **self.exponents(x),
            group=groups,
            strides=strides,
            pads=[*before, *behind],
            output_padding=more,
        )
        self.activation()

    def pool(self) -> None:
        _, _, height, width = self.b.current.shape
        kernel = (self.int(1, min(3, height)), self.int(1, min(3, width)))
        pads = [self.int(0, size - 1) for size in (*kernel, *kernel)]
        self.b.max_pool(
            kernel, strides=[self.stride(kernel[0], height), self.int(1, 2)], pads=pads, ceil_mode=self.int(0, 1)
        )

    def residual(self) -> None:
        x = self.b.current
        channels = x.shape[1]
        exponent = round(np.log2(x.scale))
        y = self.b.conv(self.weight(channels, channels, 1, 1), self.bias(channels), exponent=exponent + self.int(-2, 2))
        self.b.add(x, y, exponent + self.int(2, 3))
        self.activation()

    def scale(self) -> None:
        """By factors that are made of the data."""
        x = self.b.current
        self.b.max_pool(x.shape[2:], strides=[1, 1], pads=[0, 0, 0, 0], ceil_mode=0)
        factors = self.b.conv(self.weight(x.shape[1], x.shape[1], 1, 1), self.bias(x.shape[1]), exponent=-6)
        operands = (x, factors) if self.rng.random() < 0.7 else (factors, x)
        self.b.mul(*operands, round(np.log2(x.scale)) - 6 + self.int(0, 12))
        self.activation()

    def pair(self) -> None:
        """The difference, the larger or the smaller of the data and what is made of it."""
        x = self.b.current
        channels, exponent = x.shape[1], round(np.log2(x.scale))
        weight, bias = self.weight(channels, channels, 1, 1), self.bias(channels)
        op = self.pick(0, 1, 2)
        y = self.b.conv(weight, bias, exponent=exponent + (0 if op else self.int(-2, 2)))
        operands = (x, y) if self.rng.random() < 0.7 else (y, x)
        if op:
            self.b.extremum(("Max", "Min")[op - 1], *operands)
        else:
            self.b.sub(*operands, exponent + self.int(2, 3))
        self.activation()

    def blocks(self) -> None:
        """Of pixels, out of channels."""
        x, size = self.b.current, self.int(2, 3)
        count = self.pick(1, 3, 8)
        self.b.conv(self.weight(count * size**2, x.shape[1], 1, 1), self.bias(count * size**2), **self.exponents(x))
        self.b.depth_to_space(size, ("DCR", "CRD")[self.int(0, 1)])

    def part(self) -> None:
        """Of channels, rows or columns every n-th."""
        x, axis = self.b.current, self.int(1, 3)
        start = self.int(0, x.shape[axis] - 1)
        self.b.slice(start, self.int(start + 1, x.shape[axis]), self.int(1, 3), x, axis)

    def together(self) -> None:
        """Channels, rows or columns of the data and of what is made of it."""
        x, axis = self.b.current, self.int(1, 3)
        y = self.b.conv(self.weight(x.shape[1], x.shape[1], 1, 1), None, exponent=round(np.log2(x.scale)))
        self.b.concat(*((x, y, x), (y, x), (y, y))[self.int(0, 2)], axis=axis)

    def pad(self) -> None:
        value = self.pick(0, 0, self.int(-128, 127)) * self.b.current.scale
        channels = (self.int(0, 2), self.int(0, 2)) if self.rng.random() < 0.3 else (0, 0)
        self.b.pad(self.int(0, 2), self.int(0, 2), self.int(0, 2), self.int(0, 2), value, channels)

    def flat(self) -> None:
        self.b.flatten()
        self.dense()

    def dense(self) -> None:
        x = self.b.current
        outputs = self.pick(1, 10, 70)
        self.b.dense(self.weight(outputs, x.shape[1]), self.bias(outputs), **self.exponents(x))
        self.activation()


@dataclass(frozen=True)
class Case:
    """An offloaded function of a chain, and what it is to be run on."""

    seed: int
    arch: Architecture
    region: Region
    inputs: list[np.ndarray]


def cases_of(front_end: FrontEnd, builder: type, seed: int) -> list[Case]:
    """Build a chain and offload it."""
    rng = np.random.default_rng(seed)
    chain = Chain(builder, rng)
    chain.grow()
    model = chain.b.build()
    module = front_end.load(model) if isinstance(model, onnx.ModelProto) else model
    arch = Architecture(sram_bytes=SRAM[seed % len(SRAM)])
    regions = front_end.regions(front_end.partition(module, arch), arch)
    assert regions, "nothing was offloaded"
    return [Case(seed, arch, region, random_inputs(region.graph, rng)) for region in regions]


def check_function(graph: Graph, arch: Architecture, inputs: list[np.ndarray], on_cpu: list[np.ndarray]) -> None:
    """Compile, run on every simulator, compare."""
    program = compile_graph(graph, arch)
    slow = reference.run(program, inputs)
    assert slow.counters.total.overflows == 0
    for mine, theirs in zip(slow.outputs, on_cpu, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=str(graph))
    for kernel in kernels()[1:]:
        fast = Simulator(program, kernel=kernel).run(inputs)
        assert fast.counters == slow.counters
        for mine, theirs in zip(fast.outputs, slow.outputs, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{kernel}: {graph}")


@pytest.mark.parametrize("first", share_of_this_front_end(range(0, CASES, PACK)))
def test_cpu_simulator_and_reference_agree(front_end: FrontEnd, first: int) -> None:
    cases: list[Case] = []
    for seed in range(first, first + PACK):
        with case(seed):
            cases += cases_of(front_end, QdqBuilder if seed % 10 == 0 else front_end.Builder, seed)
    expected = run_plain(front_end, [(each.seed, each.region) for each in cases], [each.inputs for each in cases])
    for each, on_cpu in zip(cases, expected, strict=True):
        with case(each.seed):
            check_function(each.region.graph, each.arch, each.inputs, on_cpu)
    kinds = Counter(op.kind for each in cases for op in each.region.graph.ops)
    assert kinds["conv2d"] >= 8


@pytest.mark.parametrize("seed", share_of_this_front_end(range(60)))
def test_what_is_offloaded_to_a_tiny_machine_compiles(front_end: FrontEnd, seed: int) -> None:
    chain = Chain(front_end.Builder, np.random.default_rng(seed))
    chain.grow()
    arch = Architecture(sram_bytes=(1024, 2048, 3072, 4096, 6144)[seed % 5])
    (lowered,) = frontends.session().lower_for_each(chain.b.build(), {}, [arch])
    for graph in lowered.graphs:
        compile_graph(graph, arch)
