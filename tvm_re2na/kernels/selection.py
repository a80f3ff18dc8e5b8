"""Which kernel computes an operator, and its constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.kernels.convolution import ConvolutionKernel
from tvm_re2na.kernels.dense import DenseKernel, dense_function
from tvm_re2na.kernels.dialect import tir
from tvm_re2na.kernels.instructions import Instructions
from tvm_re2na.kernels.scaling import Scaling
from tvm_re2na.kernels.tiles import convolution_function

COMPUTED = ("conv2d", "dense")  # kinds of operators that have kernels
INT8 = np.iinfo(np.int8)
WeightArray = npt.NDArray[np.int16]


@dataclass(frozen=True)
class KernelLayer:
    """One operator on the CPU. Layers of equal `kernel` share its function, which takes `constants`, flat, after the data."""

    kernel: ConvolutionKernel | DenseKernel
    constants: tuple[npt.NDArray[Any], ...]

    @property
    def data(self) -> tuple[int, ...]:
        """The shape that the function takes its data in: that of the operator, or a matrix of the same elements."""
        kernel = self.kernel
        return (kernel.batch, kernel.inputs) if isinstance(kernel, DenseKernel) else kernel.data

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of what it returns, likewise."""
        kernel = self.kernel
        return (kernel.batch, kernel.outputs) if isinstance(kernel, DenseKernel) else kernel.result


def function_of(kernel: ConvolutionKernel | DenseKernel) -> tir.PrimFunc:
    return dense_function(kernel) if isinstance(kernel, DenseKernel) else convolution_function(kernel)


def name_of(kernel: ConvolutionKernel | DenseKernel, index: int) -> str:
    """Of the function, the `index`-th of its module."""
    return f"re2na_{kernel.kind}_{index}"


def layer_of(op: Operator, scaling: Scaling, isa: Instructions) -> KernelLayer:
    """Of a convolution or dense layer with constant weights and biases."""
    if op.weight is None or op.bias is None:
        raise ValueError("a linear operator without weights or biases")
    weight = np.asarray(op.weight).astype(np.int16) - np.int16(op.zero_points[1] or 0)
    bias = np.asarray(op.bias, np.int32)
    if op.kind == "dense" or _sees_all(op):
        return _dense(op, weight.reshape(len(weight), -1), bias, scaling, isa)
    return _conv2d(op, weight, bias, scaling, isa)


def _conv2d(
    op: Operator, weight: WeightArray, bias: npt.NDArray[np.int32], scaling: Scaling, isa: Instructions
) -> KernelLayer:
    if op.window is None:
        raise ValueError("a convolution without window")
    shapes = _four(op.inputs[0].sizes), _four(op.output.sizes)
    types = op.inputs[0].dtype, op.output.dtype
    conv = ConvolutionKernel(isa, shapes[0], types[0], shapes[1], types[1], op.window, op.groups, scaling.shifts)
    return KernelLayer(conv, (conv.packed(weight), conv.biases(bias), conv.table(), scaling.numbers()))


def _dense(
    op: Operator, weight: WeightArray, bias: npt.NDArray[np.int32], scaling: Scaling, isa: Instructions
) -> KernelLayer:
    narrow = INT8.min <= weight.min() and weight.max() <= INT8.max
    types = op.inputs[0].dtype, "int8" if narrow else "int16", op.output.dtype
    outputs, inputs = weight.shape
    dense = DenseKernel(isa, op.output.sizes[0], inputs, outputs, *types, scaling.shifts)
    return KernelLayer(dense, (dense.packed(weight), dense.biases(bias), scaling.numbers()))


def _sees_all(op: Operator) -> bool:
    """Whether a convolution is a dense layer: its only window is all of the image."""
    return (
        op.groups == 1
        and op.window is not None
        and op.window.kernel == op.inputs[0].sizes[2:]
        and op.window.padding == (0, 0, 0, 0)
    )


def _four(sizes: tuple[int, ...]) -> tuple[int, int, int, int]:
    first, second, third, fourth = sizes
    return first, second, third, fourth
