"""The QDQ builder once more, straight into Relay: TVM's ONNX importer takes longer than everything else of a generated case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relay


@dataclass(frozen=True)
class Value:
    """A dequantised tensor: what is computed from it reads `expr`."""

    expr: relay.Expr
    shape: tuple[int, ...]
    scale: float


class RelayQdqBuilder:
    """As `qdq.QdqBuilder`, for the operators of the generated cases; `build` gives the module the importer would give."""

    def __init__(self, shape: tuple[int, ...], exponent: int) -> None:
        self._input = relay.var("input", shape=shape, dtype="float32")
        self._outputs: list[relay.Expr] = []
        self.current = self._quantise(self._input, 2.0**exponent)

    def conv(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        *,
        weight_exponent: int = -6,
        exponent: int,
        **attributes: object,
    ) -> Value:
        x = self.current
        options = {
            "strides": attributes.get("strides", [1, 1]),
            "padding": attributes.get("pads", [0, 0, 0, 0]),
            "dilation": attributes.get("dilations", [1, 1]),
            "groups": attributes.get("group", 1),
        }
        kernel = {"channels": weight.shape[0], "kernel_size": weight.shape[2:]}
        sums = relay.nn.conv2d(x.expr, self._constant(weight, 2.0**weight_exponent), **options, **kernel)
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
        options = {"strides": strides, "padding": pads, "output_padding": output_padding, "groups": group}
        kernel = {"channels": weight.shape[1] * group, "kernel_size": weight.shape[2:]}
        sums = relay.nn.conv2d_transpose(x.expr, self._constant(weight, 2.0**weight_exponent), **options, **kernel)
        return self._with_bias(sums, bias, x.scale * 2.0**weight_exponent, exponent)

    def dense(self, weight: np.ndarray, bias: np.ndarray | None, *, weight_exponent: int, exponent: int) -> Value:
        x = self.current
        sums = relay.nn.dense(x.expr, self._constant(weight, 2.0**weight_exponent), units=len(weight))
        return self._with_bias(sums, bias, x.scale * 2.0**weight_exponent, exponent)

    def relu(self) -> Value:
        return self._append(relay.nn.relu(self.current.expr))

    def clip(self, low: float, high: float) -> Value:
        return self._append(relay.clip(self.current.expr, low, high))

    def max_pool(self, kernel: tuple[int, int], *, strides: list[int], pads: list[int], ceil_mode: int) -> Value:
        options = {"strides": strides, "padding": pads, "ceil_mode": bool(ceil_mode)}
        return self._append(relay.nn.max_pool2d(self.current.expr, pool_size=kernel, **options))

    def add(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(relay.add(left.expr, right.expr), 2.0**exponent)

    def mul(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(relay.multiply(left.expr, right.expr), 2.0**exponent)

    def sub(self, left: Value, right: Value, exponent: int) -> Value:
        return self._append(relay.subtract(left.expr, right.expr), 2.0**exponent)

    def extremum(self, op: str, left: Value, right: Value) -> Value:
        return self._append({"Max": relay.maximum, "Min": relay.minimum}[op](left.expr, right.expr))

    def concat(self, *tensors: Value, axis: int) -> Value:
        return self._append(relay.concatenate([tensor.expr for tensor in tensors], axis))

    def slice(self, start: int, stop: int, step: int, x: Value, axis: int) -> Value:
        return self._append(relay.strided_slice(x.expr, [start], [stop], [step], axes=[axis]))

    def depth_to_space(self, size: int, mode: str) -> Value:
        return self._append(relay.nn.depth_to_space(self.current.expr, size, mode=mode))

    def flatten(self) -> Value:
        return self._append(relay.nn.batch_flatten(self.current.expr))

    def pad(self, top: int, left: int, bottom: int, right: int, value: float, channels: tuple[int, int]) -> Value:
        return self._append(relay.nn.pad(self.current.expr, ((0, 0), channels, (top, bottom), (left, right)), value))

    def output(self) -> None:
        self._outputs.append(self.current.expr)

    def build(self) -> tvm.IRModule:
        body = self._outputs[0] if len(self._outputs) == 1 else relay.Tuple(self._outputs)
        return relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([self._input], body)))

    def _with_bias(self, sums: relay.Expr, bias: np.ndarray | None, unit: float, exponent: int) -> Value:
        if bias is not None:
            sums = relay.nn.bias_add(sums, self._constant(bias, unit))
        return self._append(sums, 2.0**exponent)

    def _append(self, expr: relay.Expr, scale: float | None = None) -> Value:
        self.current = self._quantise(expr, scale or self.current.scale)
        return self.current

    def _quantise(self, expr: relay.Expr, scale: float) -> Value:
        step, zero = relay.const(scale, "float32"), relay.const(0, "int32")
        rounded = relay.qnn.op.dequantize(relay.qnn.op.quantize(expr, step, zero, axis=1, out_dtype="int8"), step, zero)
        typed = relay.transform.InferTypeLocal(rounded)
        return Value(rounded, tuple(int(size) for size in typed.shape), scale)

    def _constant(self, values: np.ndarray, scale: float) -> relay.Expr:
        return relay.qnn.op.dequantize(
            relay.const(values), relay.const(scale, "float32"), relay.const(0, "int32"), axis=0
        )
