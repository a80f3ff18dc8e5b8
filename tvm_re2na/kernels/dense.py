"""A dense layer whose vectors hold neighbouring outputs. Its weights, which are read once only, stay bytes in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from tvm.script.ir_builder import IRBuilder

from tvm_re2na.kernels.dialect import NOALIAS, T, bind, scratch, tir
from tvm_re2na.kernels.instructions import Expr, Instructions, pair
from tvm_re2na.kernels.scaling import FIELDS, OPAQUE, narrowing

MOST_ROWS = 3  # of data in a tile
MOST_VECTORS = 4


@dataclass(frozen=True)
class DenseKernel:
    """What a function depends on. Layers that agree in it share the function: weights and scales are arguments."""

    kind: ClassVar[str] = "dense"  # of the function's name

    isa: Instructions
    batch: int
    inputs: int
    outputs: int
    data_dtype: str
    weight_dtype: str
    result_dtype: str
    shifts: bool

    @property
    def macs(self) -> int:
        return self.batch * self.inputs * self.outputs

    @property
    def rows(self) -> int:
        """Of data in a tile."""
        return next(rows for rows in range(MOST_ROWS, 0, -1) if self.batch % rows == 0)

    @property
    def vectors(self) -> int:
        """Of outputs in a tile."""
        return min(MOST_VECTORS, -(-self.outputs // self.isa.lanes), self.isa.accumulators // self.rows)

    @property
    def width(self) -> int:
        """Outputs of a tile."""
        return self.vectors * self.isa.lanes

    @property
    def blocks(self) -> int:
        """Tiles of outputs."""
        return -(-self.outputs // self.width)

    @property
    def steps(self) -> int:
        """Pairs of inputs; the last of an odd number is paired with itself, under a weight of zero."""
        return -(-self.inputs // 2)

    def packed(self, weight: npt.NDArray[np.int16]) -> npt.NDArray[Any]:
        """Weights [outputs, inputs] as [blocks, steps, outputs of a tile, 2]."""
        missing = self.blocks * self.width - self.outputs, 2 * self.steps - self.inputs
        whole = np.pad(weight, ((0, missing[0]), (0, missing[1]))).astype(self.weight_dtype)
        return np.ascontiguousarray(whole.reshape(self.blocks, self.width, self.steps, 2).transpose(0, 2, 1, 3))

    def biases(self, bias: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Biases [outputs], with zeros for the rest of the last tile."""
        return np.pad(bias, (0, self.blocks * self.width - self.outputs))


@dataclass(frozen=True)
class _DenseBuffers:
    data: Any
    weights: Any
    biases: Any
    numbers: Any
    result: Any
    pairs: Any
    lines: Any


def dense_function(dense: DenseKernel) -> tir.PrimFunc:
    """Data, weights (`packed`), biases (`biases`) and `Scaling.numbers` -> result; constants are flat."""
    with IRBuilder() as builder, T.prim_func(is_private=True):
        T.func_attr({"op_pattern": OPAQUE, NOALIAS: True})
        outputs = dense.blocks * dense.width
        arguments = {
            "data": ((dense.batch, dense.inputs), dense.data_dtype),
            "weights": ((outputs * dense.steps * 2,), dense.weight_dtype),
            "biases": ((outputs,), "int32"),
            "numbers": ((len(FIELDS),), "int32"),
            "result": ((dense.batch, dense.outputs), dense.result_dtype),
        }
        given = {name: T.arg(name, T.buffer(*of)) for name, of in arguments.items()}
        pairs = scratch((dense.batch * dense.steps,), "int32")
        lines = scratch((dense.batch * outputs,), dense.result_dtype)
        buffers = _DenseBuffers(**given, pairs=pairs, lines=lines)
        _fill(dense, buffers)
        with T.serial(0, dense.blocks) as block, T.serial(0, dense.batch // dense.rows) as stripe:
            _tile(dense, buffers, block, stripe)
        with T.serial(0, dense.batch) as row, T.serial(0, dense.outputs) as output:
            T.buffer_store(buffers.result, lines[row * outputs + output], [row, output])
    return builder.get()


def _fill(dense: DenseKernel, buffers: _DenseBuffers) -> None:
    zero = buffers.numbers[FIELDS.index("data_zero")]
    last = tir.const(dense.inputs - 1, "int32")
    with T.serial(0, dense.batch) as row, T.serial(0, dense.steps) as step:
        columns = step * 2, tir.min(step * 2 + 1, last)
        low, high = (tir.Cast("int32", buffers.data[row, column]) - zero for column in columns)
        T.buffer_store(buffers.pairs, pair(low, high), [row * dense.steps + step])


def _tile(dense: DenseKernel, buffers: _DenseBuffers, block: Expr, stripe: Expr) -> None:
    isa, outputs = dense.isa, dense.blocks * dense.width
    whole = isa.vector(0)
    every = [(r, v) for r in range(dense.rows) for v in range(dense.vectors)]
    sums = {at: scratch((isa.lanes,), "int32", scope="local") for at in every}
    for r, v in every:
        T.buffer_store(sums[r, v], buffers.biases[isa.vector(block * dense.width + v * isa.lanes)], [whole])
    with T.serial(0, dense.steps) as step:
        first = (block * dense.steps + step) * dense.width * 2
        weights = [bind(_weights(dense, buffers, first + 2 * v * isa.lanes)) for v in range(dense.vectors)]
        for r in range(dense.rows):
            spread = bind(isa.spread(buffers.pairs[(stripe * dense.rows + r) * dense.steps + step]))
            for v in range(dense.vectors):
                T.buffer_store(sums[r, v], sums[r, v][whole] + isa.dot(weights[v], spread), [whole])
    narrow = narrowing(isa, buffers.numbers, dense.shifts, dense.result_dtype)
    for r, v in every:
        at = (stripe * dense.rows + r) * outputs + block * dense.width + v * isa.lanes
        T.buffer_store(buffers.lines, narrow(sums[r, v][whole]), [isa.vector(at)])


def _weights(dense: DenseKernel, buffers: _DenseBuffers, start: Expr) -> Expr:
    """A vector of pairs: the first of two numbers in memory is the lower half."""
    numbers = tir.Cast(f"int16x{2 * dense.isa.lanes}", buffers.weights[tir.Ramp(start, 1, 2 * dense.isa.lanes)])
    return tir.reinterpret(f"int32x{dense.isa.lanes}", numbers)
