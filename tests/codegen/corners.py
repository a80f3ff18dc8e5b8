"""Accelerator graphs that look for corners: every number of a layer is drawn from where kernels and compilers change their ways.

Some six layers side by side and one behind the other, on a machine of any arithmetic. A trial compiles them, runs every kernel of
this processor, some threads, the reference simulator and, if accumulators wrap, plain int64 NumPy (tests/graph_eval.py), and
compares all bits and counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.codegen.networks import Maker
from tests.graph_eval import evaluate
from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, Cut, Dense, MaxPool2d, Op, Reshape, Window
from tvm_re2na.runtime import library, reference
from tvm_re2na.runtime.library import LoadedProgram, Simulator

SIZES = (1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17)
CHANNELS = (1, 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65)
BATCHES = (1, 2, 2, 3, 4, 5, 7)
KERNELS = (1, 1, 1, 2, 3, 3, 4, 5, 7)
STRIDES = (1, 1, 1, 2, 2, 3, 5)
DENSE_INPUTS = (1, 2, 31, 64, 65, 255, 256)
SRAM = (1536 * 1024, 64 * 1024, 24 * 1024, 12 * 1024)
MOST_VALUES = 3000  # of a tensor
MOST_MACS = 60_000  # of a layer
LAYERS = 6
LARGE = 20  # one graph in so many is ten times as large: threads share its layers
WIDE = 250  # and one in so many has sums that 32 bits may not hold


@dataclass(frozen=True)
class Trial:
    """How many layers were computed, by how many kernels; `problem` says what disagreed, if anything did."""

    layers: int = 0
    refused: int = 0
    problem: str | None = None


def trial(seed: int) -> Trial:
    """A machine that has no room for one of the layers refuses all of them."""
    rng = np.random.default_rng(seed)
    arch = corner_arch(rng)
    if seed % WIDE == 0:
        arch = replace(arch, sram_bytes=max(SRAM))
        graph = wide_graph(rng, arch)
    else:
        graph = corner_graph(rng, arch, 10 if seed % LARGE == 0 else 1)
    try:
        program = compile_graph(graph, arch)
    except CompileError as error:
        return Trial(refused=len(graph.ops), problem=None if "are available" in str(error) else str(error))
    inputs = [corner_values(rng, graph.shapes[name]) for name in graph.inputs]
    try:
        expected = reference.run(program, inputs)
        if arch.acc_overflow is AccOverflow.WRAP:
            _same(expected.outputs, evaluate(graph, inputs, arch), f"the reference\n{graph}")
        for kernel in library.kernels()[1:]:
            result = Simulator(LoadedProgram(program, kernel)).run(inputs)
            _same(result.outputs, expected.outputs, f"{kernel}\n{graph}")
            assert result.counters == expected.counters, f"counters of {kernel}\n{graph}"
        if seed % LARGE == 0:
            for result in Simulator(program, threads=3, count_overflows=False, profile=True).run_all([inputs, inputs]):
                _same(result.outputs, expected.outputs, f"three threads that do not count\n{graph}")
    except Exception as error:  # a program that does not run is a disagreement too
        return Trial(len(graph.ops), problem=f"{type(error).__name__}: {error}")
    return Trial(len(graph.ops))


def _same(outputs: Sequence[npt.NDArray[np.int8]], expected: Sequence[npt.NDArray[np.int8]], what: str) -> None:
    for output, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(output, wanted, err_msg=what)


def corner_arch(rng: np.random.Generator) -> Architecture:
    """Mostly Re²Na itself."""
    return Architecture(
        sram_bytes=int(rng.choice(SRAM)),
        acc_bits=int(rng.choice([17, 17, 17, 9, 12, 20, 32])),
        array_shapes=int(rng.choice([0, 0, 16 + 256, 2**13 - 1])),
        mac_interval=int(rng.choice([5, 1])),
        acc_overflow=AccOverflow(int(rng.random() < 0.1)),
        cut_overflow=CutOverflow(int(rng.random() < 0.2)),
        rounding=Rounding(int(rng.random() < 0.2)),
    )


def wide_graph(rng: np.random.Generator, arch: Architecture) -> Graph:
    """A convolution and a dense layer of more than 2**16 steps."""
    maker = Corners(rng, arch)
    channels, outputs = 7300, maker.pick((1, 2, 17))
    x = maker.builder.input("x", (maker.pick((1, 2)), channels, 3, 3))
    y = maker.builder.input("y", (maker.pick((1, 5)), 9 * channels))
    window = Window((3, 3))
    ends = [
        Conv2d(
            "conv", (x,), "c", maker.weight(outputs, channels, 3, 3), window=window, groups=1, **maker.sums(outputs)
        ),
        Dense("dense", (y,), "d", maker.weight(outputs, 9 * channels), **maker.sums(outputs)),
    ]
    return maker.builder.build([maker.builder.append(end) for end in ends])


def corner_graph(rng: np.random.Generator, arch: Architecture, scale: int = 1) -> Graph:
    """Chains that begin at two inputs; every end is an output. `scale`: of tensors and of work."""
    maker = Corners(rng, arch, scale)
    ends = [maker.begin(number) for number in range(2)]
    while maker.count < LAYERS:
        at = int(rng.integers(len(ends)))
        ends[at] = maker.any_op([ends[at]])
    return maker.builder.build(list(dict.fromkeys(ends)))


def corner_values(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """All of the range, the ends of it, or what a ReLU leaves."""
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(0 if kind < 0.4 else -128, 128, shape).astype(np.int8)


class Corners(Maker):
    """`Maker` with other numbers."""

    def __init__(self, rng: np.random.Generator, arch: Architecture, scale: int = 1) -> None:
        super().__init__(rng)
        self.arch = arch
        self.most_values, self.most_macs = scale * MOST_VALUES, scale * MOST_MACS

    def begin(self, number: int) -> str:
        """An input. One in three is clipped to 0..127, as activations are: kernels treat such inputs differently."""
        batch, name = self.pick(BATCHES), f"x{number}"
        shape = (batch, self.pick(CHANNELS), self.pick(SIZES), self.pick(SIZES))
        while np.prod(shape) > self.most_values:
            shape = (batch, *(max(1, size // 2) for size in shape[1:]))
        self.builder.input(name, shape if self.rng.random() < 0.8 else (batch, self.pick(DENSE_INPUTS)))
        if self.rng.random() > 0.3:
            return name
        return self.builder.append(Clip(f"relu{number}", (name,), f"relu{number}", 0, 127))

    def any_op(self, tensors: list[str]) -> str:
        shape = self.builder.shape(tensors[0])
        kinds = (
            ("conv", "conv", "conv", "pool", "add", "clip", "pad", "flatten")
            if len(shape) == 4
            else ("dense", "dense", "clip", "unflatten")
        )
        return self.append(kinds[self._int(0, len(kinds) - 1)], tensors[0], tensors)

    def pick(self, options: tuple[int, ...]) -> int:
        return options[self._int(0, len(options) - 1)]

    def cut(self) -> Cut:
        """No bit or nearly all; a range of one number; the ends of int8."""
        lo, hi = [(-128, 127), (0, 127), (0, 0), (-128, -128), (127, 127), (-1, 1), (0, 48), (-128, 0)][self._int(0, 7)]
        return Cut(self.pick((0, 1, 4, 7, 8, self.arch.acc_bits - 1)), lo, hi)

    def weight(self, *shape: int) -> npt.NDArray[np.int8]:
        kind, rng = self._int(0, 5), self.rng
        if kind == 0:
            return rng.choice(np.array([-128, 127], np.int8), shape)
        if kind == 1:  # steps that no output needs, and at times none that any does
            kept = rng.random(shape[1:]) < self.pick((0, 1, 5)) / 10
            return (rng.integers(-128, 128, shape) * kept).astype(np.int8)
        return rng.integers(-(limit := self.pick((1, 20, 128))), limit, shape).astype(np.int8)

    def sums(self, outputs: int) -> dict[str, Any]:
        """A cut, and biases: all that the accumulator holds beside the half, or little."""
        cut = self.cut()
        low, high = self.arch.acc_min, self.arch.acc_max - self.arch.half(cut.lsb)
        if self.rng.random() < 0.8:
            low, high = max(low, -100), min(high, 100)
        return {"bias": self.rng.integers(low, high, outputs, endpoint=True).astype(np.int32), "cut": cut}

    def _window(self, height: int, width: int, pool: bool) -> Window:
        """Strides beyond the kernel; padding on any side, an output of nothing else included; one row or column of outputs."""
        for _ in range(8):
            kernel = (self.pick(KERNELS), self.pick(KERNELS))
            most = [size - 1 if pool else 4 for size in (*kernel, *kernel)]
            padding = [self._int(0, limit) if self.rng.random() < 0.4 else 0 for limit in most]
            stride = (self.pick(STRIDES), self.pick(STRIDES))
            if self.rng.random() < 0.15:
                stride = (height + self.pick((0, 0, 4)), stride[1])
            window = Window(
                kernel,
                stride,
                (padding[0], padding[1], padding[2], padding[3]),
                (self.pick((1, 1, 1, 2, 3)), self.pick((1, 1, 1, 2, 3))),
            )
            if min(window.output_size(height, width)) >= 1:
                return window
        return Window((1, 1), (self.pick(STRIDES), self.pick(STRIDES)))

    def _conv(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        batch, channels, height, width = shape
        groups = [g for g in (1, 1, 1, 2, channels, channels) if channels % g == 0][self._int(0, 3)]
        window = self._window(height, width, False)
        depth = channels // groups * window.kernel[0] * window.kernel[1]
        pixels = batch * int(np.prod(window.output_size(height, width)))
        outputs = (
            max(1, min(self.pick(CHANNELS), self.most_macs // (pixels * depth), self.most_values // pixels) // groups)
            * groups
        )
        weight = self.weight(outputs, channels // groups, *window.kernel)
        return Conv2d(**names, weight=weight, window=window, groups=groups, **self.sums(outputs))

    def _dense(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        outputs = self.pick((1, 2, 10, 15, 16, 17, 63, 64, 65, 130))
        return Dense(**names, weight=self.weight(outputs, shape[1]), **self.sums(outputs))

    def _pool(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Half of them as the array's output path takes them: windows side by side."""
        cut, window = self.cut(), self._window(shape[2], shape[3], True)
        if self.rng.random() < 0.5:
            kernel = (min(shape[2], self.pick((1, 2, 2, 3))), min(shape[3], self.pick((1, 2, 2, 3))))
            window = Window(kernel, kernel)
        return MaxPool2d(**names, window=window, lo=cut.lo, hi=cut.hi)

    def _add(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Of a tensor and what a convolution makes of it, or of a tensor and itself."""
        other = tensors[0]
        if self.rng.random() < 0.7:
            own = {"name": f"{names['name']}_conv", "inputs": (other,), "output": f"{names['output']}_conv"}
            weight = self.weight(shape[1], shape[1], 1, 1)
            conv = Conv2d(**own, weight=weight, window=Window((1, 1)), groups=1, **self.sums(shape[1]))
            other = self.builder.append(conv)
            self.count += 1
        cut = self.cut()
        pair = (tensors[0], other) if self.rng.random() < 0.5 else (other, tensors[0])
        return Add(
            **{**names, "inputs": pair},
            shifts=(self.pick((0, 1, 7, 8)), self.pick((0, 1, 3, 8))),
            lo=cut.lo,
            hi=cut.hi,
        )

    def _clip(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        cut = self.cut()
        return Clip(**names, lo=cut.lo, hi=cut.hi)

    def _unflatten(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        height = next(h for h in (5, 3, 2, 1) if shape[1] % h == 0)
        return Reshape(
            **names,
            shape=[(shape[0], shape[1] // height, height, 1), (shape[0], 1, height, shape[1] // height)][
                self._int(0, 1)
            ],
        )
