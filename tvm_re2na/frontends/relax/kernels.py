"""Calls of the kernels: their functions, each once, and their constants."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, tirx

from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.kernels.convolution import ConvolutionKernel
from tvm_re2na.kernels.dense import DenseKernel
from tvm_re2na.kernels.instructions import Instructions
from tvm_re2na.kernels.scaling import Scaling
from tvm_re2na.kernels.selection import KernelLayer, function_of, layer_of, name_of

MACS_ATTR = "re2na_macs"


class Kernels:
    """The functions that the operators of one module share."""

    def __init__(self, isa: Instructions) -> None:
        self._isa = isa
        self._variables: dict[ConvolutionKernel | DenseKernel, tvm.ir.GlobalVar] = {}
        self.functions: dict[tvm.ir.GlobalVar, tirx.PrimFunc] = {}

    def call(self, op: Operator, data: Any, scaling: Scaling) -> Any:
        """A convolution or dense layer with constant weights and biases, on `data`."""
        layer = layer_of(op, scaling, self._isa)
        if layer.data != op.inputs[0].sizes:
            data = relax.op.reshape(data, list(layer.data))
        result = self._call(layer, data)
        return result if layer.result == op.output.sizes else relax.op.reshape(result, list(op.output.sizes))

    def _call(self, layer: KernelLayer, data: Any) -> Any:
        kernel = layer.kernel
        if kernel not in self._variables:
            self._variables[kernel] = variable = tvm.ir.GlobalVar(name_of(kernel, len(self.functions)))
            self.functions[variable] = function = function_of(kernel).with_attr(MACS_ATTR, kernel.macs)
            relax.expr._update_type(variable, function.ty)
        arguments = [relax.const(constant.reshape(-1), str(constant.dtype)) for constant in layer.constants]
        result = relax.TensorType(layer.result, kernel.result_dtype)
        return relax.call_tir(self._variables[kernel], [data, *arguments], result)


def macs_of(function: tirx.PrimFunc) -> int:
    """Multiply-accumulates of a kernel; 0 of any other function."""
    return int(function.attrs[MACS_ATTR]) if function.attrs is not None and MACS_ATTR in function.attrs else 0
