"""Random graphs: every operator reads any earlier tensor, so that values are read many times, or at every point of a form;
functions of single numbers on the machine or on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare, share_of_this_front_end
from tests.frontends.qdq import QdqBuilder, Tensor, biases, small_weights
from tvm_re2na.codegen.arch import Architecture

OPERATORS = 8


class Branches:
    """Operators on (2, 4, 6, 6) that keep the shape, the last of them an output, and any other now and then."""

    def __init__(self, rng: np.random.Generator, functions: bool = True) -> None:
        self.rng = rng
        self.functions = functions
        self.b = QdqBuilder((2, 4, 6, 6), -6)
        self.known: list[Tensor] = [self.b.current]

    def grow(self) -> onnx.ModelProto:
        for _ in range(OPERATORS):
            self.b.current = self.pick()
            operators = [
                self.difference,
                self.extremum,
                self.rows,
                self.crop_and_pad,
                self.blocks,
                self.conv,
                self.conv,
                self.clip,
                self.relu,
                self.add,
                self.pool,
                self.pad_and_conv,
                self.function if self.functions else self.clip,
            ]
            operators[self.int(0, len(operators) - 1)]()
            self.known.append(self.b.current)
            if not self.int(0, 5):
                self.b.output()
        self.b.output()
        return self.b.build()

    def int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self) -> Tensor:
        """Rather a new tensor than an old one."""
        return self.known[-1 - min(len(self.known) - 1, int(self.rng.geometric(0.5)) - 1)]

    def exponent(self, x: Tensor) -> int:
        return round(np.log2(x.scale))

    def conv(self) -> None:
        x = self.b.current
        quantise = bool(self.int(0, 1))
        exponent = self.exponent(x) + self.int(-2, 4)
        kernel = self.int(0, 1) * 2 + 1
        pads = [kernel // 2] * 4
        weight, bias = small_weights(self.rng, 4, 4, kernel, kernel), biases(self.rng, 4) if self.int(0, 1) else None
        self.b.conv(weight, bias, exponent=exponent, pads=pads, quantise=quantise)
        if not quantise:
            self.b.relu(exponent)

    def clip(self) -> None:
        scale = self.b.current.scale
        self.b.clip(-self.int(0, 100) * scale, self.int(1, 100) * scale)

    def relu(self) -> None:
        self.b.relu()

    def add(self) -> None:
        """Not a sum of a tensor with itself: TVM 0.19's inliner fails on one that reads one of several results of a function."""
        self.of_two(self.b.add)

    def difference(self) -> None:
        self.of_two(self.b.sub)

    def of_two(self, make: Callable[[Tensor, Tensor, int], Tensor]) -> None:
        left = self.b.current
        right = next((x for x in (self.pick(), *self.known) if x.name != left.name), None)
        if right is None:
            return self.conv()
        make(left, right, max(self.exponent(left), self.exponent(right)) + self.int(-1, 2))

    def extremum(self) -> None:
        """Of tensors of one scale: others stay in floating point, with halves of their own."""
        left = self.b.current
        right = next((x for x in self.known if x.name != left.name and x.scale == left.scale), None)
        if right is None:
            return self.conv()
        self.b.extremum(("Max", "Min")[self.int(0, 1)], left, right)

    def rows(self) -> None:
        """Rows or columns, the last before the first."""
        x, axis, at = self.b.current, self.int(2, 3), self.int(1, 5)
        self.b.concat(self.b.slice(at, 6, axis=axis, x=x), self.b.slice(0, at, axis=axis, x=x), axis=axis)

    def crop_and_pad(self) -> None:
        y = self.b.slice(1, 6, 2, axis=2)
        self.b.pad(1, 0, 2, 0, value=self.int(-9, 9) * y.scale)

    def blocks(self) -> None:
        """Of pixels that become channels and are pixels again."""
        x = self.b.current
        parts = [self.b.slice(i, 6, 2, axis=3, x=self.b.slice(j, 6, 2, axis=2, x=x)) for i in (0, 1) for j in (0, 1)]
        y = self.b.concat(*parts)
        if self.int(0, 1):
            self.b.conv(small_weights(self.rng, 16, 16, 1, 1), exponent=self.exponent(y) + self.int(0, 2))
        self.b.depth_to_space(2, ("DCR", "CRD")[self.int(0, 1)])

    def pool(self) -> None:
        self.b.max_pool(3, pads=[1, 1, 1, 1])

    def function(self) -> None:
        exponent = self.exponent(self.b.current) + self.int(-1, 2)
        self.b.node(("Sigmoid", "HardSwish", "Elu", "Relu", "Softplus")[self.int(0, 4)], (2, 4, 6, 6), exponent)

    def pad_and_conv(self) -> None:
        x = self.b.pad(1, 1, 1, 1)
        self.b.conv(small_weights(self.rng, 4, 4, 3, 3), None, exponent=self.exponent(x) + self.int(0, 3))


@pytest.mark.parametrize("seed", share_of_this_front_end(range(24)))
def test_random_graph(front_end: FrontEnd, seed: int) -> None:
    rng = np.random.default_rng(seed)
    module = front_end.load(Branches(rng).grow())
    arch = Architecture(activation_table=seed // 4 % 2)
    partitioned = front_end.partition(module, arch)
    rows = front_end.explain(module, arch=arch)
    compare(front_end, partitioned, rng)
    made = {op.name for region in front_end.regions(partitioned, arch) for op in region.graph.ops}
    assert made == {row.name for row in rows if row.offloaded}
    assert len({row.name for row in rows}) == len(rows)
    image = rng.integers(-128, 128, (2, 4, 6, 6)).astype(np.float32) / 64
    on_cpu = front_end.run_cpu(front_end.integers(module), [image])
    for found, expected in zip(front_end.run_re2na(partitioned, [image]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)
