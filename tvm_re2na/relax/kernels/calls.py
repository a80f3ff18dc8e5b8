"""Calls of the kernels: their functions, each once, and their constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax, tirx

from tvm_re2na.codegen.constraints import Operator
from tvm_re2na.relax.kernels.convolution import Convolution
from tvm_re2na.relax.kernels.dense import Dense, dense_function
from tvm_re2na.relax.kernels.instructions import Instructions
from tvm_re2na.relax.kernels.scaling import Scaling
from tvm_re2na.relax.kernels.tiles import convolution_function

INT8 = np.iinfo(np.int8)
MACS_ATTR = "re2na_macs"


class Kernels:
    """The functions that the operators of one module share."""

    def __init__(self, isa: Instructions) -> None:
        self._isa = isa
        self._variables: dict[Convolution | Dense, tvm.ir.GlobalVar] = {}
        self.functions: dict[tvm.ir.GlobalVar, tirx.PrimFunc] = {}

    def call(self, op: Operator, data: Any, scaling: Scaling) -> Any:
        """A convolution or dense layer with constant weights and biases, on `data`."""
        if op.weight is None or op.bias is None:
            raise ValueError("a linear operator without weights or biases")
        weight = np.asarray(op.weight).astype(np.int16) - np.int16(op.zero_points[1] or 0)
        bias = np.asarray(op.bias, np.int32)
        if op.kind == "dense":
            return self._dense(op, data, weight, bias, scaling)
        if _sees_all(op):
            flat = relax.op.reshape(data, [op.inputs[0].sizes[0], weight[0].size])
            result = self._dense(op, flat, weight.reshape(len(weight), -1), bias, scaling)
            return relax.op.reshape(result, list(op.output.sizes))
        return self._conv2d(op, data, weight, bias, scaling)

    def _conv2d(
        self, op: Operator, data: Any, weight: npt.NDArray[np.int16], bias: npt.NDArray[np.int32], scaling: Scaling
    ) -> Any:
        if op.window is None:
            raise ValueError("a convolution without window")
        shapes = _four(op.inputs[0].sizes), _four(op.output.sizes)
        types = op.inputs[0].dtype, op.output.dtype
        conv = Convolution(self._isa, shapes[0], types[0], shapes[1], types[1], op.window, op.groups, scaling.shifts)
        constants = conv.packed(weight), conv.biases(bias), conv.table(), scaling.numbers()
        return self._call(conv, lambda: convolution_function(conv), data, constants, conv.result, conv.result_dtype)

    def _dense(
        self, op: Operator, data: Any, weight: npt.NDArray[np.int16], bias: npt.NDArray[np.int32], scaling: Scaling
    ) -> Any:
        narrow = INT8.min <= weight.min() and weight.max() <= INT8.max
        types = op.inputs[0].dtype, "int8" if narrow else "int16", op.output.dtype
        outputs, inputs = weight.shape
        dense = Dense(self._isa, op.output.sizes[0], inputs, outputs, *types, scaling.shifts)
        constants = dense.packed(weight), dense.biases(bias), scaling.numbers()
        shape = (dense.batch, dense.outputs)
        return self._call(dense, lambda: dense_function(dense), data, constants, shape, dense.result_dtype)

    def _call(
        self,
        key: Convolution | Dense,
        make: Callable[[], tirx.PrimFunc],
        data: Any,
        constants: tuple[npt.NDArray[Any], ...],
        shape: tuple[int, ...],
        dtype: str,
    ) -> Any:
        if key not in self._variables:
            self._variables[key] = variable = tvm.ir.GlobalVar(
                f"re2na_{type(key).__name__.lower()}_{len(self.functions)}"
            )
            self.functions[variable] = function = make().with_attr(MACS_ATTR, key.macs)
            relax.expr._update_type(variable, function.ty)
        arguments = [relax.const(constant.reshape(-1), str(constant.dtype)) for constant in constants]
        return relax.call_tir(self._variables[key], [data, *arguments], relax.TensorType(shape, dtype))


def macs_of(function: tirx.PrimFunc) -> int:
    """Multiply-accumulates of a kernel; 0 of any other function."""
    return int(function.attrs[MACS_ATTR]) if function.attrs is not None and MACS_ATTR in function.attrs else 0


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
