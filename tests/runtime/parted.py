"""A convolution whose sums are formed in parts: its programs, and what it computes in plain NumPy integers.

Knows the fields of CONV and nothing of the simulators: patches are cut out of a padded array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.isa import Instruction, Mode, make
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator

Int8: TypeAlias = npt.NDArray[np.int8]
Ints: TypeAlias = npt.NDArray[np.int64]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """`weights` (kernel_h, kernel_w, in_c, out_c); `splits`: the input channel with which each part but the first begins. With
    `drop`, steps whose weights are all zero have no line."""

    arch: Architecture
    weights: Int8
    biases: npt.NDArray[np.int32]
    size: tuple[int, int, int]  # images, rows, columns of the input
    splits: tuple[int, ...] = ()
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Pair = (0, 0)
    pool: Pair = (1, 1)
    lsbs: tuple[int, ...] = (4,)  # one for all, or one for each output channel
    operand: Int8 | None = None  # (images, rows, columns, out_c)
    shifts: Pair = (0, 1)
    lo: int = -128
    hi: int = 127
    drop: bool = False
    late: bool = False  # the constants go to the DRAM and come back, so that no run knows them before
    place: dict[str, int] = field(default_factory=dict)  # addresses of "out" and "sums" that are not those of their own

    @property
    def out_c(self) -> int:
        return self.weights.shape[3]

    @property
    def sums(self) -> Pair:
        """Rows and columns of the convolution's pixels, as many as windows of the pool take."""
        found = []
        for axis in range(2):
            span = (self.weights.shape[axis] - 1) * self.dilation[axis] + 1
            pixels = (self.size[axis + 1] + 2 * self.pad[axis] - span) // self.stride[axis] + 1
            found.append(pixels // self.pool[axis] * self.pool[axis])
        return found[0], found[1]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the output, (N, H, W, C)."""
        return self.size[0], self.sums[0] // self.pool[0], self.sums[1] // self.pool[1], self.out_c

    @property
    def parts(self) -> list[Pair]:
        return list(pairwise((0, *self.splits, self.weights.shape[2])))

    # ---- in NumPy

    def _products(self, x: Int8) -> Iterator[Ints]:
        """(N, H, W, C) of each step, part by part, in the order of k."""
        rows, columns = self.sums
        padding = ((0, 0), (self.pad[0],) * 2, (self.pad[1],) * 2, (0, 0))
        padded = np.pad(x.astype(np.int64), padding)
        for first, last in self.parts:
            for ky, kx in np.ndindex(*self.weights.shape[:2]):
                top, left = ky * self.dilation[0], kx * self.dilation[1]
                bottom, right = top + (rows - 1) * self.stride[0] + 1, left + (columns - 1) * self.stride[1] + 1
                seen = padded[:, top : bottom : self.stride[0], left : right : self.stride[1]]
                for channel in range(first, last):
                    yield seen[..., channel, None] * self.weights[ky, kx, channel].astype(np.int64)

    def expected(self, x: Int8) -> tuple[Ints, int]:
        """Of an input (N, H, W, C): results (N, C, H, W), overflows."""
        low, high = -(1 << (self.arch.acc_bits - 1)), (1 << (self.arch.acc_bits - 1)) - 1
        sums = np.broadcast_to(self.biases.astype(np.int64), (self.size[0], *self.sums, self.out_c))
        if self.arch.acc_overflow is AccOverflow.WRAP:
            sums = sums + sum(self._products(x))
            overflows = int(((sums < low) | (sums > high)).sum())
            sums = (sums - low) % (1 << self.arch.acc_bits) + low
        else:
            clipped = sums.clip(low, high)
            overflows = int((clipped != sums).sum())
            for product in self._products(x):
                sums = clipped + product
                clipped = sums.clip(low, high)
                overflows += int((clipped != sums).sum())
            sums = clipped
        results = self._fit(sums >> np.array(self.lsbs), self.lo, self.hi)
        n, height, width, channels = self.shape
        results = results.reshape(n, height, self.pool[0], width, self.pool[1], channels).max(axis=(2, 4))
        if self.operand is not None:
            total = self._shifted(results, self.shifts[0]) + self._shifted(
                self.operand.astype(np.int64), self.shifts[1]
            )
            results = self._fit(total, -100, 90)
        return results.transpose(0, 3, 1, 2), overflows

    def _fit(self, value: Ints, lo: int, hi: int) -> Ints:
        half = 1 << (self.arch.data_bits - 1)
        if self.arch.cut_overflow is CutOverflow.WRAP:
            value = (value + half) % (2 * half) - half
        return value.clip(-half, half - 1).clip(lo, hi)

    def _shifted(self, value: Ints, shift: int) -> Ints:
        half = (1 << shift) // 2 if self.arch.rounding is Rounding.HALF_UP else 0
        return (value + half) >> shift

    # ---- as a program

    def program(self) -> Program:
        """Input and output are (N, C, H, W)."""
        memory = bytearray()

        def put(content: bytes) -> int:
            memory.extend(content)
            return len(memory) - len(content)

        operand = put(b"" if self.operand is None else self.operand.tobytes())
        records = [self._record(put, *part) for part in self.parts]
        n, height, width, channels = self.size[0], *self.size[1:], self.weights.shape[2]
        x, y = (n, channels, height, width), (*self.shape[:1], self.out_c, *self.shape[1:3])
        source = len(memory)
        taken = source + int(np.prod(x))
        out = self.place.get("out", taken)
        taken = max(taken, out + int(np.prod(y)))
        parked = self.place.get("sums", self.arch.sram_bytes - 4 * n * self.sums[0] * self.sums[1] * self.out_c)
        common = self._fields() | {"out_addr": out, "add_addr": operand}
        body = [_copy("LOAD", 0, 0, source), _copy("LOAD", source, source, int(np.prod(x)))]
        if self.late:
            body += [_copy("STORE", taken, 0, source), _copy("LOAD", taken, 0, source)]
        body.append(make("RECONFIGURE", mode=Mode.CONV, rows=self.arch.array_rows))
        for index, ((first, last), record) in enumerate(zip(self.parts, records, strict=True)):
            ends = {"first": int(index == 0), "last": int(index == len(records) - 1), "sum_addr": parked}
            own = {"in_addr": source + first, "in_c": last - first, **record}
            body.append(make("CONV", **common, **own, **(ends if len(records) > 1 else {})))
        body += [_copy("STORE", source + int(np.prod(x)), out, int(np.prod(y))), make("HALT")]
        return Program(
            arch=self.arch,
            inputs=(ProgramTensor("x", x, x, source),),
            outputs=(ProgramTensor("y", y, y, source + int(np.prod(x))),),
            instructions=tuple(_in_order(body)),
            constants=bytes(memory),
            constants_address=0,
            dram_bytes=taken + source,
            sources=(SourceOperator("conv", "conv2d", 0),),
        )

    def _record(self, put: Callable[[bytes], int], first: int, last: int) -> dict[str, int]:
        """Biases where the sum begins, LSBs where it ends, bitmap, lines."""
        starts, ends = first == 0, last == self.weights.shape[2]
        head = self.biases.astype("<i4").tobytes() if starts else b""
        head += np.array(self.lsbs, np.uint8).tobytes() if ends and len(self.lsbs) > 1 else b""
        lines = self.weights[:, :, first:last].reshape(-1, self.out_c)
        there = lines.any(axis=1) if self.drop else np.ones(len(lines), np.bool_)
        found = {"bias_addr": put(head), "mask_addr": put(np.packbits(there, bitorder="little").tobytes())}
        return found | {"weight_addr": put(lines[there].tobytes()), "steps": int(there.sum())}

    def _fields(self) -> dict[str, int]:
        values = {"n": self.size[0], "out_c": self.out_c, "groups": 1, "rows": self.arch.array_rows}
        values |= {"lsb": self.lsbs[0], "cuts": int(len(self.lsbs) > 1), "lo": self.lo, "hi": self.hi}
        for axis, name in enumerate("hw"):
            values |= {f"in_{name}": self.size[axis + 1], f"kernel_{name}": self.weights.shape[axis]}
            values |= {f"stride_{name}": self.stride[axis], f"dilation_{name}": self.dilation[axis]}
            values |= {f"out_{name}": self.shape[axis + 1], f"pool_{name}": self.pool[axis]}
        values |= {"pad_top": self.pad[0], "pad_left": self.pad[1]}
        out = self.shape[1:]
        for side, (height, width, channels) in {
            "in": (*self.size[1:], self.weights.shape[2]),
            "out": out,
            "add": out,
        }.items():
            strides = {"pixel": channels, "row": width * channels, "image": height * width * channels}
            values |= {f"{side}_{what}_stride": stride for what, stride in strides.items()}
        if self.operand is not None:
            values |= {"add": 1, "shift_a": self.shifts[0], "shift_b": self.shifts[1], "add_lo": -100, "add_hi": 90}
        return values


def _copy(name: str, dram: int, sram: int, size: int) -> Instruction:
    strides = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    return make(name, dram_addr=dram, sram_addr=sram, bytes=size, rows=1, planes=1, **strides)


def _in_order(body: Sequence[Instruction]) -> Iterator[Instruction]:
    """With tokens wherever the engine changes."""
    for index, at in enumerate(body):
        before, after = body[max(index - 1, 0)].engine, body[min(index + 1, len(body) - 1)].engine
        yield at.with_tokens(0 if before is at.engine else 1 << before, 0 if after is at.engine else 1 << after)
