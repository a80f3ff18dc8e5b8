"""Random small accelerator graphs for the compiler's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.channels import Concat, PartsMax, ScaleChannels, Select
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import (
    Add,
    Clip,
    Conv2d,
    Cut,
    Dense,
    Lookup,
    MaxPool2d,
    Op,
    Reshape,
    Window,
    four_axes,
)
from tvm_re2na.codegen.graph.pixels import ConcatPixels, DepthToSpace2d, Pad, Upsample2d
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d


def random_graph(
    rng: np.random.Generator,
    layers: int,
    batch: int | None = None,
    size: int = 14,
    cuts: bool = False,
    lookups: bool = False,
) -> Graph:
    """A chain with branches: every kind of operator, shapes that fit, sums that mostly stay inside 17 bits. `cuts`: some
    convolutions have an LSB for each channel; `lookups`: some functions are tables."""
    maker = Maker(rng, cuts, lookups)
    batch = batch or int(rng.integers(1, 4))
    shape = (batch, int(rng.integers(1, 9)), int(rng.integers(3, size)), int(rng.integers(3, size)))
    tensors = [maker.builder.input("x", shape)]
    for _ in range(layers):
        tensors.append(maker.any_op(tensors))
    return maker.builder.build([tensors[-1]] if rng.random() < 0.8 else list(dict.fromkeys(tensors[-2:]))[-2:])


def between_convolutions(middle: Callable[[str], Op], batch: int = 1) -> Graph:
    """A convolution, the operator that `middle` makes of its result (batch, 32, 14, 14), a clip, and a convolution."""
    rng, builder, same = np.random.default_rng(1), GraphBuilder("between"), Window((3, 3), padding=(1, 1, 1, 1))
    weights = [rng.integers(-9, 10, (32, channels, 3, 3)).astype(np.int8) for channels in (8, 32)]
    bias = np.zeros(32, np.int32)
    x = builder.input("x", (batch, 8, 14, 14))
    x = builder.append(Conv2d("first", (x,), "a", weights[0], bias, same, 1, Cut(5)))
    x = builder.append(Clip("clip", (builder.append(middle(x)),), "c", -50, 90))
    return builder.build([builder.append(Conv2d("second", (x,), "d", weights[1], bias, same, 1, Cut(7)))])


def beside(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether tensors of these shapes differ in their channels at most."""
    return len(one) == len(other) and (one[0], one[2:]) == (other[0], other[2:])


class Maker:
    """Appends random operators, among them the kinds `more`."""

    def __init__(self, rng: np.random.Generator, cuts: bool = False, lookups: bool = False) -> None:
        self.rng = rng
        self.cuts = cuts
        self.more = ["lookup", "lookup"] if lookups else []
        self.builder = GraphBuilder("random")
        self.count = 0

    def any_op(self, tensors: list[str]) -> str:
        source = tensors[-1] if self.rng.random() < 0.8 else tensors[int(self.rng.integers(len(tensors)))]
        shape = self.builder.shape(source)
        kinds = (
            [
                "conv",
                "conv",
                "transposed",
                "pool",
                "upsample",
                "add",
                "scale",
                "clip",
                "reshape",
                "pad",
                "crop",
                "to_depth",
                "to_space",
                "flatten",
                "concat",
                "concat",
                "concat_pixels",
                "parts_max",
                "select",
            ]
            if len(shape) == 4
            else ["dense", "add", "scale", "clip", "unflatten", "concat", "select", "parts_max"]
        )
        kinds += self.more
        return self.append(kinds[int(self.rng.integers(len(kinds)))], source, tensors)

    def append(self, kind: str, source: str, tensors: list[str]) -> str:
        """An operator of this kind on `source`; returns its output."""
        self.count += 1
        names = {"name": f"{kind}_{self.count}", "inputs": (source,), "output": f"t{self.count}"}
        op = getattr(self, f"_{kind}")(names, self.builder.shape(source), tensors)
        return self.builder.append(op)

    def _int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def cut(self) -> Cut:
        lo, hi = [(-128, 127), (0, 127), (0, 48), (-20, 90)][self._int(0, 3)]
        return Cut(self._int(0, 9), lo, hi)

    def channel_cut(self, outputs: int) -> Cut:
        """Of a convolution."""
        if not self.cuts or self._int(0, 2) == 0:
            return self.cut()
        return replace(self.cut(), lsbs=tuple(self._int(0, 9) for _ in range(outputs)))

    def weight(self, *shape: int) -> npt.NDArray[np.int8]:
        limit = [3, 20, 127][self._int(0, 2)]
        return self.rng.integers(-limit, limit + 1, shape).astype(np.int8)

    def _window(self, height: int, width: int, pool: bool) -> Window:
        kernel = (self._int(1, min(3, height)), self._int(1, min(3, width)))
        most = [kernel[0] - 1, kernel[1] - 1] if pool else [2, 2]
        padding = (self._int(0, most[0]), self._int(0, most[1]), self._int(0, most[0]), self._int(0, most[1]))
        window = Window(kernel, (self._int(1, 3), self._int(1, 3)), padding, (self._int(1, 2), self._int(1, 2)))
        if window.reach[0] > height + padding[0] + padding[2] or window.reach[1] > width + padding[1] + padding[3]:
            window = Window(kernel, window.stride, padding)
        return window

    def _conv(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        _, channels, height, width = shape
        groups = [g for g in (1, 1, 2, channels) if channels % g == 0][self._int(0, 2) % 3] if channels > 1 else 1
        outputs = groups * self._int(1, max(1, 80 // groups // 4))
        weight = self.weight(outputs, channels // groups, 1, 1)
        window = self._window(height, width, False)
        weight = self.weight(outputs, channels // groups, *window.kernel)
        bias = self.rng.integers(-900, 900, outputs).astype(np.int32)
        return Conv2d(**names, weight=weight, bias=bias, window=window, groups=groups, cut=self.channel_cut(outputs))

    def _transposed(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        _, channels, height, width = shape
        groups = [1, channels, 2][self._int(0, 2)] if channels % 2 == 0 else 1
        outputs = groups * self._int(1, max(1, 40 // groups // 2))
        kernel, stride = (self._int(1, 4), self._int(1, 4)), (self._int(1, 3), self._int(1, 3))
        if max(height * stride[0], width * stride[1]) > 40:
            stride = (1, 1)
        weight = self.weight(outputs, channels // groups, *kernel)
        bias = self.rng.integers(-900, 900, outputs).astype(np.int32)
        most = [(size - 1) * step + k - 1 for size, step, k in zip((height, width), stride, kernel, strict=True)]
        top, left = (self._int(0, min(3, size)) for size in most)
        bottom, right = self._int(0, min(3, most[0] - top)), self._int(0, min(3, most[1] - left))
        more = (self._int(0, stride[0] - 1), self._int(0, stride[1] - 1))
        window = Window(kernel, stride, (top, left, bottom, right))
        return ConvTranspose2d(
            **names, weight=weight, bias=bias, window=window, groups=groups, cut=self.cut(), more=more
        )

    def _dense(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        outputs = self._int(1, 90)
        bias = self.rng.integers(-900, 900, outputs).astype(np.int32)
        return Dense(**names, weight=self.weight(outputs, shape[1]), bias=bias, cut=self.cut())

    def _pool(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        return MaxPool2d(**names, window=self._window(shape[2], shape[3], True), lo=[-128, 0][self._int(0, 1)], hi=127)

    def _upsample(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        factors = [self._int(1, max(1, min(3, 32 // size))) for size in shape[2:]]
        return Upsample2d(**names, factors=(factors[0], factors[1]), lo=[-128, 0][self._int(0, 1)])

    def _add(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        others = [name for name in tensors if self.builder.shape(name) == shape]
        names["inputs"] = (names["inputs"][0], others[self._int(0, len(others) - 1)])
        return Add(**names, shifts=(self._int(0, 3), self._int(0, 3)), lo=[-128, 0][self._int(0, 1)])

    def _concat(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Of one to four tensors, the same one among them now and then."""
        others = [name for name in tensors if beside(self.builder.shape(name), shape)]
        found = [*names["inputs"], *(others[self._int(0, len(others) - 1)] for _ in range(self._int(0, 3)))]
        while len(found) > 1 and sum(self.builder.shape(name)[1] for name in found) > 200:
            found.pop()
        names["inputs"] = tuple(found[index] for index in self.rng.permutation(len(found)))
        return Concat(**names)

    def _concat_pixels(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Rows or columns of up to four tensors, the same one among them now and then."""
        axis = self._int(0, 1)
        place = 2 + axis
        shapes = {name: self.builder.shape(name) for name in tensors}
        alike = [
            name
            for name, other in shapes.items()
            if len(other) == 4 and (*other[:place], *other[place + 1 :]) == (*shape[:place], *shape[place + 1 :])
        ]
        found = [*names["inputs"], *(alike[self._int(0, len(alike) - 1)] for _ in range(self._int(0, 3)))]
        while len(found) > 1 and sum(self.builder.shape(name)[place] for name in found) > 40:
            found.pop()
        names["inputs"] = tuple(found[index] for index in self.rng.permutation(len(found)))
        return ConcatPixels(
            **names, axis=axis, sizes=tuple(self.builder.shape(name)[place] for name in names["inputs"])
        )

    def _parts_max(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Of two tensors side by side, or of parts of one."""
        parts = [count for count in (1, 2, 2, 3, 4) if shape[1] % count == 0]
        count = parts[self._int(0, len(parts) - 1)]
        others = [name for name in tensors if self.builder.shape(name) == shape]
        if self._int(0, 1) and shape[1] <= 100:
            count, other = 2, others[self._int(0, len(others) - 1)]
            together = Concat(names["name"], (*names["inputs"], other), f"{names['output']}.both")
            names["inputs"] = (self.builder.append(together),)
        return PartsMax(**names, parts=count, lo=[-128, 0][self._int(0, 1)])

    def _select(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """A part of a split, a shuffle, or anything."""
        count = shape[1]
        first = self._int(0, count - 1)
        part = np.arange(first, self._int(first + 1, count))
        groups = next(groups for groups in (3, 2, 1) if count % groups == 0)
        shuffle = np.arange(count).reshape(groups, -1).T.ravel()
        choices = [part, part, shuffle, self.rng.integers(0, count, self._int(1, min(count + 2, 200)))]
        return Select(**names, channels=choices[self._int(0, 3)])

    def _scale(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """By factors that are there, or by one pixel of every image."""
        fits = [name for name in tensors if four_axes(self.builder.shape(name)) == (*shape[:2], 1, 1)]
        factors = fits[self._int(0, len(fits) - 1)] if fits else self._pixel(names["inputs"][0])
        return ScaleChannels(
            **{**names, "inputs": (names["inputs"][0], factors)}, cut=self.cut(), start=self._int(0, 9)
        )

    def _pixel(self, source: str) -> str:
        """The maximum of each channel."""
        window = Window(self.builder.shape(source)[2:])
        return self.builder.append(MaxPool2d(f"pixel_{self.count}", (source,), f"t{self.count}.pixel", window))

    def _clip(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        return Clip(**names, lo=self._int(-100, 0), hi=self._int(1, 127))

    def _lookup(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        return Lookup(**names, table=self.rng.integers(-128, 128, 256).astype(np.int8))

    def _pad(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        padding = (self._int(0, 2), self._int(0, 2), self._int(0, 2), self._int(0, 2))
        return Pad(**names, padding=padding, value=[0, 0, self._int(-128, 127)][self._int(0, 2)])

    def _crop(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """Every n-th of some rows and columns, or of a padded image."""
        height, width = shape[2:]
        (top, bottom), (left, right) = (self._outside(size) for size in (height, width))
        stride = (self._int(1, 3), self._int(1, 3))
        return Pad(**names, padding=(top, left, bottom, right), stride=stride, value=self._int(-9, 9))

    def _outside(self, size: int) -> tuple[int, int]:
        before = self._int(-min(2, size - 1), 2)
        return before, self._int(-min(2, size - 1 + min(before, 0)), 2)

    def _to_depth(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        """A block of pixels as channels, in any order, or some of them."""
        block = [self._int(1, min(3, size)) for size in shape[2:]]
        rows, columns = (size // step for size, step in zip(shape[2:], block, strict=True))
        parts = []
        for y, x in self.rng.permutation(list(np.ndindex(*block)))[: max(1, 200 // shape[1])]:
            name = f"{names['output']}.{y}.{x}"
            behind = [
                int(first + (count - 1) * step + 1 - size)
                for first, count, step, size in zip((y, x), (rows, columns), block, shape[2:], strict=True)
            ]
            padding = (-int(y), -int(x), behind[0], behind[1])
            parts.append(self.builder.append(Pad(name, names["inputs"], name, padding, (block[0], block[1]))))
        return Concat(**{**names, "inputs": tuple(parts)})

    def _to_space(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        options = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if shape[1] % (a * b) == 0 and max(shape[2:]) * 3 < 40]
        factors = options[self._int(0, len(options) - 1)] if options else (1, 1)
        return DepthToSpace2d(**names, factors=factors, lo=[-128, 0][self._int(0, 1)])

    def _reshape(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        batch, channels, height, width = shape
        options = [
            (batch, height, channels, width),
            (batch, channels * height * width, 1, 1),
            (batch, 1, channels * height, width),
        ]
        return Reshape(**names, shape=options[self._int(0, 2)])

    def _flatten(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        return Reshape(**names, shape=(shape[0], shape[1] * shape[2] * shape[3]))

    def _unflatten(self, names: dict, shape: tuple[int, ...], tensors: list[str]) -> Op:
        height = next(h for h in (4, 3, 2, 1) if shape[1] % h == 0)
        return Reshape(**names, shape=(shape[0], shape[1] // height, height, 1))
