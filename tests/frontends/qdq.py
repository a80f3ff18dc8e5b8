"""Small quantised ONNX models for tests: chains of operators in QDQ form, every scale a power of two unless asked otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Tensor:
    """A float tensor of the model that stands for int8 values at `scale` (a dequantised tensor)."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int = 0
    dtype: str = "int8"


class QdqBuilder:
    """Appends operators to a chain (`self.current`) and quantises each result; `build` gives the ONNX model.

    Every method takes the exponent of its result (None: that of its input) and returns the new current `Tensor`; pass
    `x=` to branch from an earlier one. Weights are int8, biases int32 at the exponent of the sum. With `quantise=False`
    the result stays a raw float tensor, so that an activation can follow inside the same Q/DQ pair.
    """

    def __init__(
        self, shape: Sequence[int | str], exponent: int = -6, *, dtype: str = "int8", zero_point: int = 0
    ) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._outputs: list[Tensor] = []
        self._count = 0
        self._input = helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))
        sizes = tuple(size if isinstance(size, int) else 1 for size in shape)
        self.current = self._quantise(Tensor("input", sizes, 2.0**exponent, zero_point, dtype))

    def conv(
        self,
        weight: Int8Array,
        bias: npt.NDArray[np.int32] | None = None,
        *,
        weight_exponent: int = -6,
        exponent: int | None = None,
        weight_scale: float | Sequence[float] | None = None,
        quantise: bool = True,
        x: Tensor | None = None,
        **attributes: object,
    ) -> Tensor:
        """Conv; `attributes` are ONNX's (strides, pads as top, left, bottom, right, dilations, group)."""
        x = x or self.current
        scale = weight_scale if weight_scale is not None else 2.0**weight_exponent
        inputs = [x.name, self._constant(weight, scale, axis=0)]
        if bias is not None:
            inputs.append(self._constant(bias, np.float32(x.scale) * np.float32(scale), axis=0))
        shape = _conv_shape(x.shape, weight.shape, attributes)
        return self._append("Conv", inputs, shape, x, exponent, quantise, **attributes)

    def conv_transpose(
        self,
        weight: Int8Array,
        bias: npt.NDArray[np.int32] | None = None,
        *,
        weight_exponent: int = -6,
        exponent: int | None = None,
        quantise: bool = True,
        **attributes: object,
    ) -> Tensor:
        """ConvTranspose; weight (C, O / group, kh, kw), `attributes` are ONNX's."""
        x, scale = self.current, 2.0**weight_exponent
        inputs = [x.name, self._constant(weight, scale, axis=0)]
        if bias is not None:
            inputs.append(self._constant(bias, np.float32(x.scale) * np.float32(scale), axis=0))
        shape = _transposed_shape(x.shape, weight.shape, attributes)
        return self._append("ConvTranspose", inputs, shape, x, exponent, quantise, **attributes)

    def dense(
        self,
        weight: Int8Array,
        bias: npt.NDArray[np.int32] | None = None,
        *,
        weight_exponent: int = -6,
        exponent: int | None = None,
        weight_scale: float | Sequence[float] | None = None,
        quantise: bool = True,
        x: Tensor | None = None,
    ) -> Tensor:
        """Gemm with transB = 1; weight (O, C)."""
        x = x or self.current
        scale = weight_scale if weight_scale is not None else 2.0**weight_exponent
        inputs = [x.name, self._constant(weight, scale, axis=0)]
        if bias is not None:
            inputs.append(self._constant(bias, np.float32(x.scale) * np.float32(scale), axis=0))
        return self._append("Gemm", inputs, (x.shape[0], weight.shape[0]), x, exponent, quantise, transB=1)

    def matmul(
        self, weight: Int8Array, *, weight_exponent: int = -6, exponent: int | None = None, quantise: bool = True
    ) -> Tensor:
        """MatMul; weight (C, O), no bias."""
        x = self.current
        inputs = [x.name, self._constant(weight, 2.0**weight_exponent, axis=1)]
        return self._append("MatMul", inputs, (*x.shape[:-1], weight.shape[1]), x, exponent, quantise)

    def relu(self, exponent: int | None = None, *, quantise: bool = True) -> Tensor:
        return self._append("Relu", [self.current.name], self.current.shape, self.current, exponent, quantise)

    def clip(self, low: float, high: float, exponent: int | None = None, *, quantise: bool = True) -> Tensor:
        """Clip to real values, e.g. 0..6 for ReLU6."""
        limits = [self._raw(np.array(value, np.float32)) for value in (low, high)]
        return self._append("Clip", [self.current.name, *limits], self.current.shape, self.current, exponent, quantise)

    def max_pool(self, kernel: int | tuple[int, int], *, quantise: bool = True, **attributes: object) -> Tensor:
        """MaxPool; `attributes` are ONNX's (strides, pads, dilations, ceil_mode)."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = _conv_shape(self.current.shape, (self.current.shape[1], 1, *size), attributes)
        attributes["kernel_shape"] = list(size)
        return self._append("MaxPool", [self.current.name], shape, self.current, None, quantise, **attributes)

    def resize(
        self, rows: int, columns: int, *, sizes: bool = False, quantise: bool = True, **attributes: object
    ) -> Tensor:
        """Resize by whole factors, given as scales or as sizes; `attributes` are ONNX's (mode, nearest_mode, ...)."""
        n, c, h, w = self.current.shape
        shape = (n, c, h * rows, w * columns)
        given = np.array(shape, np.int64) if sizes else np.array([1, 1, rows, columns], np.float32)
        inputs = [self.current.name, "", *([""] if sizes else []), self._raw(given)]
        return self._append("Resize", inputs, shape, self.current, None, quantise, **attributes)

    def add(self, left: Tensor, right: Tensor, exponent: int | None = None, *, quantise: bool = True) -> Tensor:
        return self._append("Add", [left.name, right.name], left.shape, left, exponent, quantise)

    def sub(self, left: Tensor, right: Tensor, exponent: int | None = None, *, quantise: bool = True) -> Tensor:
        return self._append("Sub", [left.name, right.name], left.shape, left, exponent, quantise)

    def extremum(self, op: str, left: Tensor, right: Tensor, *, quantise: bool = True) -> Tensor:
        """`op` is Max or Min."""
        return self._append(op, [left.name, right.name], left.shape, left, None, quantise)

    def mul(self, left: Tensor, right: Tensor, exponent: int | None = None, *, quantise: bool = True) -> Tensor:
        shape = tuple(np.broadcast_shapes(left.shape, right.shape))
        return self._append("Mul", [left.name, right.name], shape, left, exponent, quantise)

    def concat(self, *tensors: Tensor, axis: int = 1, quantise: bool = True) -> Tensor:
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        names = [tensor.name for tensor in tensors]
        return self._append("Concat", names, tuple(shape), tensors[0], None, quantise, axis=axis)

    def gather(
        self, numbers: Sequence[int], x: Tensor | None = None, axis: int = 1, *, quantise: bool = True
    ) -> Tensor:
        x = x or self.current
        shape = (*x.shape[:axis], len(numbers), *x.shape[axis + 1 :])
        inputs = [x.name, self._raw(np.array(numbers, np.int64))]
        return self._append("Gather", inputs, shape, x, None, quantise, axis=axis)

    def slice(
        self,
        start: int,
        stop: int,
        step: int = 1,
        x: Tensor | None = None,
        axis: int = 1,
        *,
        quantise: bool = True,
    ) -> Tensor:
        x = x or self.current
        shape = (*x.shape[:axis], len(range(x.shape[axis])[start:stop:step]), *x.shape[axis + 1 :])
        settings = [self._raw(np.array([number], np.int64)) for number in (start, stop, axis, step)]
        return self._append("Slice", [x.name, *settings], shape, x, None, quantise)

    def depth_to_space(self, size: int, mode: str = "DCR", *, quantise: bool = True) -> Tensor:
        n, c, h, w = self.current.shape
        shape, attributes = (n, c // size**2, h * size, w * size), {"blocksize": size, "mode": mode}
        return self._append("DepthToSpace", [self.current.name], shape, self.current, None, quantise, **attributes)

    def flatten(self) -> Tensor:
        shape = (self.current.shape[0], int(np.prod(self.current.shape[1:])))
        return self._append("Flatten", [self.current.name], shape, self.current, None, True)

    def reshape(self, shape: Sequence[int]) -> Tensor:
        target = self._raw(np.array(shape, np.int64))
        return self._append("Reshape", [self.current.name, target], tuple(shape), self.current, None, True)

    def pad(
        self,
        top: int,
        left: int,
        bottom: int,
        right: int,
        value: float = 0.0,
        channels: tuple[int, int] = (0, 0),
        *,
        images: int = 0,
        quantise: bool = True,
    ) -> Tensor:
        n, c, h, w = self.current.shape
        widths = self._raw(np.array([0, channels[0], top, left, images, channels[1], bottom, right], np.int64))
        inputs = [self.current.name, widths, self._raw(np.array(value, np.float32))]
        shape = (n + images, c + sum(channels), h + top + bottom, w + left + right)
        return self._append("Pad", inputs, shape, self.current, None, quantise)

    def node(
        self, op: str, shape: Sequence[int], exponent: int | None = None, *, quantise: bool = True, **attributes: object
    ) -> Tensor:
        """Any one-input ONNX operator; `shape` is its result's."""
        return self._append(op, [self.current.name], tuple(shape), self.current, exponent, quantise, **attributes)

    def constant(self, values: Int8Array, exponent: int) -> Tensor:
        """A constant of the model as an operand; the current tensor stays what it is."""
        return Tensor(self._constant(values, 2.0**exponent, axis=0), values.shape, 2.0**exponent)

    def output(self) -> None:
        """Make the current tensor an output of the model, besides those named before."""
        self._outputs.append(self.current)

    def build(self) -> onnx.ModelProto:
        outputs = [
            helper.make_tensor_value_info(t.name, TensorProto.FLOAT, None) for t in self._outputs or [self.current]
        ]
        graph = helper.make_graph(self._nodes, "test", [self._input], outputs, list(self._weights.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _append(
        self,
        op: str,
        inputs: list[str],
        shape: tuple[int, ...],
        x: Tensor,
        exponent: int | None,
        quantise: bool,
        **attributes: object,
    ) -> Tensor:
        name = self._name(op.lower())
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        scale = x.scale if exponent is None else 2.0**exponent
        result = replace(x, name=name, shape=shape, scale=scale)
        self.current = self._quantise(result) if quantise else replace(result, scale=x.scale)
        return self.current

    def _quantise(self, tensor: Tensor) -> Tensor:
        scale = self._raw(np.array(tensor.scale, np.float32))
        zero = self._raw(np.array(tensor.zero_point, tensor.dtype))
        quantised, result = f"{tensor.name}_q", f"{tensor.name}_dq"
        self._nodes.append(helper.make_node("QuantizeLinear", [tensor.name, scale, zero], [quantised], name=quantised))
        self._nodes.append(helper.make_node("DequantizeLinear", [quantised, scale, zero], [result], name=result))
        return replace(tensor, name=result)

    def _constant(self, values: npt.NDArray[np.generic], scale: object, axis: int) -> str:
        scales = np.array(scale, np.float32)
        result = self._name("constant")
        inputs = [self._raw(values), self._raw(scales), self._raw(np.zeros(scales.shape, values.dtype))]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [result], name=result, axis=axis))
        return result

    def _raw(self, values: npt.NDArray[np.generic]) -> str:
        name = self._name("raw")
        self._weights[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def _conv_shape(x: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, object]) -> tuple[int, ...]:
    strides = _ints(attributes.get("strides", (1, 1)))
    pads = _ints(attributes.get("pads", (0, 0, 0, 0)))
    dilations = _ints(attributes.get("dilations", (1, 1)))
    rest = 1 if attributes.get("ceil_mode") else 0
    sizes = []
    for axis in range(2):
        room = x[2 + axis] + pads[axis] + pads[axis + 2] - (weight[2 + axis] - 1) * dilations[axis] - 1
        sizes.append((room + (strides[axis] - 1) * rest) // strides[axis] + 1)
    return (x[0], weight[0], *sizes)


def _transposed_shape(x: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, object]) -> tuple[int, ...]:
    strides, pads = _ints(attributes.get("strides", (1, 1))), _ints(attributes.get("pads", (0, 0, 0, 0)))
    dilations, more = _ints(attributes.get("dilations", (1, 1))), _ints(attributes.get("output_padding", (0, 0)))
    sizes = (
        (x[2 + axis] - 1) * strides[axis]
        + (weight[2 + axis] - 1) * dilations[axis]
        + 1
        - pads[axis]
        - pads[axis + 2]
        + more[axis]
        for axis in range(2)
    )
    return (x[0], weight[1] * int(attributes.get("group", 1)), *sizes)  # type: ignore[call-overload]


def _ints(values: object) -> list[int]:
    return [int(value) for value in values]  # type: ignore[attr-defined]


def lenet(rng: np.random.Generator, batch: int = 1) -> onnx.ModelProto:
    """A LeNet-like network on (batch, 1, 12, 12): two convs with ReLU and pooling, two dense layers; no sum can overflow."""
    b = QdqBuilder((batch, 1, 12, 12), -6)
    b.conv(small_weights(rng, 6, 1, 5, 5), biases(rng, 6), pads=[2, 2, 2, 2], quantise=False)
    b.relu(-4)
    b.max_pool(2, strides=[2, 2])
    b.conv(small_weights(rng, 8, 6, 3, 3), biases(rng, 8), quantise=False)
    b.relu(-3)
    b.max_pool(2, strides=[2, 2])
    b.flatten()
    b.dense(small_weights(rng, 16, 32), biases(rng, 16), quantise=False)
    b.relu(-2)
    b.dense(small_weights(rng, 10, 16), biases(rng, 10), exponent=-1)
    return b.build()


def weights(rng: np.random.Generator, *shape: int, limit: int = 127) -> Int8Array:
    """Random weights -limit - 1 .. limit."""
    return rng.integers(-limit - 1, limit + 1, shape).astype(np.int8)


def small_weights(rng: np.random.Generator, *shape: int, acc_bits: int = 17) -> Int8Array:
    """Random weights so small that no int8 input and no bias up to 1,000 overflows an accumulator of `acc_bits`."""
    room = (1 << (acc_bits - 1)) - 2048
    return weights(rng, *shape, limit=min(127, room // (128 * int(np.prod(shape[1:]))) - 1))


def biases(rng: np.random.Generator, count: int, limit: int = 1000) -> npt.NDArray[np.int32]:
    return rng.integers(-limit, limit + 1, count).astype(np.int32)
