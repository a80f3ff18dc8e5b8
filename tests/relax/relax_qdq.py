"""The QDQ builder once more, straight into Relax: TVM's ONNX importer takes longer than everything else of a generated case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax


@dataclass(frozen=True)
class Value:
    """A dequantised tensor: what is computed from it reads `expr`."""

    expr: Any
    shape: tuple[int, ...]
    scale: float


class RelaxQdqBuilder:
    """As `qdq.QdqBuilder`, for the operators of the generated cases; `build` gives the module the importer would give."""

    def __init__(self, shape: tuple[int, ...], exponent: int) -> None:
        self._builder = relax.BlockBuilder()
        self._input = relax.Var("input", relax.TensorType(shape, "float32"))
        self._function = self._builder.function("main", [self._input])
        self._function.__enter__()
        self._dataflow = self._builder.dataflow()
        self._dataflow.__enter__()
        self._outputs: list[Any] = []
        self.current = self._quantise(self._input, 2.0**exponent)

    def conv(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        *,
        weight_exponent: int = -6,
        exponent: int,
        **attributes: Any,
    ) -> Value:
        x = self.current
        sums = self._emit(
            relax.op.nn.conv2d(
                x.expr,
                self._constant(weight, 2.0**weight_exponent),
                strides=attributes.get("strides", [1, 1]),
                padding=attributes.get("pads", [0, 0, 0, 0]),
                dilation=attributes.get("dilations", [1, 1]),
                groups=attributes.get("group", 1),
            )
        )
        return self._with_bias(sums, bias, x.scale * 2.0**weight_exponent, exponent)

    def conv_transpose(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        *,
        weight_exponent: int,
        exponent: int,
        group: int,
        strides: list[int],
        pads: list[int],
        output_padding: list[int],
    ) -> Value:
        x = self.current
        sums = self._emit(
            relax.op.nn.conv2d_transpose(
                x.expr,
                self._constant(weight, 2.0**weight_exponent),
                strides=strides,
                padding=pads,
                output_padding=output_padding,
                groups=group,
            )
        )
        return self._with_bias(sums, bias, x.scale * 2.0**weight_exponent, exponent)

    def dense(self, weight: np.ndarray, bias: np.ndarray | None, *, weight_exponent: int, exponent: int) -> Value:
        x = self.current
        transposed = self._emit(relax.op.permute_dims(self._constant(weight, 2.0**weight_exponent), [1, 0]))
        sums = self._emit(relax.op.matmul(x.expr, transposed))
        if bias is not None:
            sums = self._emit(relax.op.add(sums, self._constant(bias, x.scale * 2.0**weight_exponent)))
        return self._append(sums, 2.0**exponent)

    def relu(self) -> Value:
        return self._append(self._emit(relax.op.nn.relu(self.current.expr)))

    def clip(self, low: float, high: float) -> Value:
        return self._append(self._emit(relax.op.clip(self.current.expr, low, high)))

    def max_pool(self, kernel: tuple[int, int], *, strides: list[int], pads: list[int], ceil_mode: int) -> Value:
        pooled = relax.op.nn.max_pool2d(self.current.expr, list(kernel), strides, pads, ceil_mode=bool(ceil_mode))
        return self._append(self._emit(pooled))

    def add(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(self._emit(relax.op.add(left.expr, right.expr)), 2.0**exponent)

    def mul(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(self._emit(relax.op.multiply(left.expr, right.expr)), 2.0**exponent)

    def sub(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(self._emit(relax.op.subtract(left.expr, right.expr)), 2.0**exponent)

    def extremum(self, op: str, left: Value, right: Value) -> Value:
        return self._append(self._emit({"Max": relax.op.maximum, "Min": relax.op.minimum}[op](left.expr, right.expr)))

    def concat(self, *tensors: Value, axis: int) -> Value:
        return self._append(self._emit(relax.op.concat([tensor.expr for tensor in tensors], axis)))

    def slice(self, start: int, stop: int, step: int, x: Value, axis: int) -> Value:
        return self._append(self._emit(relax.op.strided_slice(x.expr, [axis], [start], [stop], [step])))

    def depth_to_space(self, size: int, mode: str) -> Value:
        """As the importer writes it."""
        n, c, h, w = self.current.shape
        count = c // size**2
        blocks = (count, size, size) if mode == "CRD" else (size, size, count)
        order = [0, 1, 4, 2, 5, 3] if mode == "CRD" else [0, 3, 4, 1, 5, 2]
        apart = self._emit(relax.op.reshape(self.current.expr, (n, *blocks, h, w)))
        turned = self._emit(relax.op.permute_dims(apart, order))
        return self._append(self._emit(relax.op.reshape(turned, (n, count, h * size, w * size))))

    def flatten(self) -> Value:
        return self._append(self._emit(relax.op.reshape(self.current.expr, [self.current.shape[0], -1])))

    def pad(self, top: int, left: int, bottom: int, right: int, value: float, channels: tuple[int, int]) -> Value:
        widths = [0, 0, *channels, top, bottom, left, right]
        return self._append(self._emit(relax.op.nn.pad(self.current.expr, widths, "constant", value)))

    def output(self) -> None:
        self._outputs.append(self.current.expr)

    def build(self) -> tvm.IRModule:
        results = [self._builder.emit_output(output) for output in self._outputs]
        self._dataflow.__exit__(None, None, None)
        self._builder.emit_func_output(results[0] if len(results) == 1 else relax.Tuple(results))
        self._function.__exit__(None, None, None)
        return self._builder.get()

    def _with_bias(self, sums: Any, bias: np.ndarray | None, unit: float, exponent: int) -> Value:
        """Of a convolution."""
        if bias is not None:
            added = self._emit(relax.op.reshape(self._constant(bias, unit), [1, -1, 1, 1]))
            sums = self._emit(relax.op.add(sums, added))
        return self._append(sums, 2.0**exponent)

    def _append(self, expr: Any, scale: float | None = None) -> Value:
        self.current = self._quantise(expr, scale or self.current.scale)
        return self.current

    def _quantise(self, expr: Any, scale: float) -> Value:
        step, zero = relax.const(scale, "float32"), relax.const(0, "int8")
        quantised = self._emit(relax.op.quantize(expr, step, zero, axis=1, out_dtype="int8"))
        result = self._emit(relax.op.dequantize(quantised, step, zero, axis=1))
        return Value(result, tuple(int(size) for size in result.ty.shape), scale)

    def _constant(self, values: np.ndarray, scale: float) -> Any:
        step, zero = relax.const(scale, "float32"), relax.const(0, str(values.dtype))
        return self._emit(relax.op.dequantize(relax.const(values), step, zero, axis=0))

    def _emit(self, expr: Any) -> Any:
        return self._builder.emit(expr)
