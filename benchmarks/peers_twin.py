"""The TFLite twin of an accelerator graph: the same operators, shapes and int8 weights, for tools that read TFLite.

Scales are powers of two that agree with every shift of the graph, and with its bounds where they are ReLU6's. A twin that is not to
be exact is written for what it weighs, not for what it computes: a pooling's window may lie one pixel off, as TFLite pads it as it
likes, where one that is has a padding of its own before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tflite
from tflite import ActivationFunctionType, BuiltinOperator, BuiltinOptions, Padding

from tests.prequantized.tflite_writer import Writer
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, Cut, Dense, MaxPool2d, Op, Reshape, Window

STEP = -5  # the exponent of whatever is free


class TwinError(ValueError):
    """The graph has an operator that is not written; the message names it."""


def twin(graph: Graph, exact: bool = False) -> bytes:
    """A TFLite file of the folded graph, NHWC; raises TwinError for an operator that has no counterpart here."""
    return _Twin(fold(graph), exact).written()


def border_bytes(graph: Graph) -> int:
    """Of the network's inputs and outputs."""
    return sum(int(np.prod(graph.shapes[name])) for name in (*graph.inputs, *graph.outputs))


def exponents(graph: Graph) -> dict[str, int]:
    """Of every tensor: operators that carry no weights tie theirs together, by their shifts; the others are free."""
    ties: dict[str, list[tuple[str, int]]] = {name: [] for name in graph.shapes}
    for op in graph.ops:
        if isinstance(op, Conv2d | Dense):
            continue
        for name, shift in zip(op.inputs, op.shifts if isinstance(op, Add) else (0,), strict=True):
            ties[name].append((op.output, shift))
            ties[op.output].append((name, -shift))
    found: dict[str, int] = {}
    known = _of_relu6(graph)
    for start in (*known, *ties):
        waiting = [(start, known.get(start, STEP))] if start in known or start not in found else []
        while waiting:
            name, exponent = waiting.pop()
            if found.setdefault(name, exponent) != exponent:
                raise TwinError(f"{graph.name}: {name} has exponents {found[name]} and {exponent}")
            waiting += [(other, exponent + shift) for other, shift in ties[name] if other not in found]
    return found


def _of_relu6(graph: Graph) -> dict[str, int]:
    """Of the tensors that are clamped to 0..6, as their upper bound says."""
    found = {}
    for op in graph.ops:
        lo, hi = _bounds(op)
        mantissa, exponent = math.frexp(6 / hi) if lo == 0 and 0 < hi < 127 else (0.0, 0)
        if mantissa == 0.5:
            found[op.output] = exponent - 1
    return found


def _bounds(op: Op) -> tuple[int, int]:
    clamp = op.cut if isinstance(op, Conv2d | Dense) else op
    return (clamp.lo, clamp.hi) if isinstance(clamp, Cut | MaxPool2d | Add | Clip) else (-128, 127)


class _Twin:
    def __init__(self, graph: Graph, exact: bool) -> None:
        if unknown := [op for op in graph.ops if type(op) not in WRITERS]:
            raise TwinError(f"{unknown[0].name}: {unknown[0].kind} is not written")
        relu6 = _of_relu6(graph)
        for op in graph.ops if exact else ():
            if _bounds(op) not in ((-128, 127), (0, 127)) and op.output not in relu6:
                raise TwinError(f"{op.name}: results from {_bounds(op)[0]} to {_bounds(op)[1]} are not written exactly")
        self.exact = exact
        self.graph, self.exponents, self.writer = graph, exponents(graph), Writer()
        self.indices: dict[str, int] = {}
        self.order: dict[str, np.ndarray] = {}  # of flattened tensors: where TFLite's elements are in ours

    def written(self) -> bytes:
        graph = self.graph
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise TwinError(f"{graph.name}: {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, not one each")
        self._value(graph.inputs[0])
        for op in graph.ops:
            WRITERS[type(op)](self, op)
        return self.writer.finish(self.indices[graph.inputs[0]], self.indices[graph.outputs[0]])

    def _value(self, name: str) -> int:
        self.indices[name] = self._activation(name, _channels_last(self.graph.shapes[name]), self.exponents[name])
        return self.indices[name]

    def _activation(self, name: str, shape: Sequence[int], exponent: int) -> int:
        return self.writer.tensor(name, shape, "int8", 2.0**exponent)

    def _weights(self, op: Conv2d | Dense, value: np.ndarray) -> list[int]:
        """Weights and biases, whose exponents follow from the shift; several where each channel has its own."""
        source, result = self.exponents[op.inputs[0]], self.exponents[op.output]
        steps = [2.0 ** (result - source - lsb) for lsb in op.cut.all_lsbs]
        sums = [step * 2.0**source for step in steps]
        several = len(steps) > 1
        return [
            self.writer.tensor(f"{op.name}.weight", value.shape, "int8", steps if several else steps[0], value),
            self.writer.tensor(f"{op.name}.bias", op.bias.shape, "int32", sums if several else sums[0], op.bias),
        ]

    def conv(self, op: Conv2d) -> None:
        channels = self.graph.shapes[op.inputs[0]][1]
        depthwise = op.groups > 1
        if depthwise and op.groups != channels:
            raise TwinError(f"{op.name}: {op.groups} groups of {channels} channels are not written")
        source = self.indices[op.inputs[0]]
        padding = _padding(op.window, self.graph.shapes[op.inputs[0]][2:], self.graph.shapes[op.output][2:])
        if padding is None:
            source, padding = self._padded(op, 0), Padding.VALID
        kernel = op.weight.transpose(1, 2, 3, 0) if depthwise else op.weight.transpose(0, 2, 3, 1)
        inputs = [source, *self._weights(op, np.ascontiguousarray(kernel))]
        options = _options(
            self.writer,
            tflite.DepthwiseConv2DOptionsStart if depthwise else tflite.Conv2DOptionsStart,
            tflite.DepthwiseConv2DOptionsEnd if depthwise else tflite.Conv2DOptionsEnd,
            "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
            Padding=padding,
            StrideH=op.window.stride[0],
            StrideW=op.window.stride[1],
            DilationHFactor=op.window.dilation[0],
            DilationWFactor=op.window.dilation[1],
            FusedActivationFunction=_activation(op.cut),
            **({"DepthMultiplier": len(op.weight) // channels} if depthwise else {}),
        )
        code = BuiltinOperator.DEPTHWISE_CONV_2D if depthwise else BuiltinOperator.CONV_2D
        kind = BuiltinOptions.DepthwiseConv2DOptions if depthwise else BuiltinOptions.Conv2DOptions
        self.writer.operator(code, kind, options, inputs, self._value(op.output))

    def _padded(self, op: Conv2d | MaxPool2d, value: int) -> int:
        """A border around the input by an operator of its own: TFLite's windows know no other padding than theirs."""
        top, left, bottom, right = op.window.padding
        n, height, width, channels = _channels_last(self.graph.shapes[op.inputs[0]])
        borders = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        sizes = self.writer.tensor(f"{op.name}.borders", borders.shape, "int32", None, borders)
        shape = (n, height + top + bottom, width + left + right, channels)
        padded = self._activation(f"{op.name}.padded", shape, self.exponents[op.inputs[0]])
        source = [self.indices[op.inputs[0]], sizes]
        if value == 0:
            options = _options(self.writer, tflite.PadOptionsStart, tflite.PadOptionsEnd, "PadOptions")
            self.writer.operator(BuiltinOperator.PAD, BuiltinOptions.PadOptions, options, source, padded)
            return padded
        step = 2.0 ** self.exponents[op.inputs[0]]
        source.append(self.writer.tensor(f"{op.name}.border", (1,), "int8", step, np.array([value], np.int8)))
        options = _options(self.writer, tflite.PadV2OptionsStart, tflite.PadV2OptionsEnd, "PadV2Options")
        self.writer.operator(BuiltinOperator.PADV2, BuiltinOptions.PadV2Options, options, source, padded)
        return padded

    def pool(self, op: MaxPool2d) -> None:
        shape, made = self.graph.shapes[op.inputs[0]][2:], self.graph.shapes[op.output][2:]
        source = self.indices[op.inputs[0]]
        padding = _padding(op.window, shape, made) if self.exact else None
        if padding is None and self.exact:
            source, padding = self._padded(op, 0 if self._least(op.inputs[0]) >= 0 else -128), Padding.VALID
        elif padding is None:
            padding = Padding.SAME if made == _same(op.window, shape) else Padding.VALID
            if padding == Padding.VALID and made != Window(op.window.kernel, op.window.stride).output_size(*shape):
                raise TwinError(f"{op.name}: a pooling of padding {op.window.padding} is not written")
        options = _options(
            self.writer,
            tflite.Pool2DOptionsStart,
            tflite.Pool2DOptionsEnd,
            "Pool2DOptions",
            Padding=padding,
            StrideH=op.window.stride[0],
            StrideW=op.window.stride[1],
            FilterHeight=op.window.kernel[0],
            FilterWidth=op.window.kernel[1],
            FusedActivationFunction=_activation(op),
        )
        kind = BuiltinOptions.Pool2DOptions
        self.writer.operator(BuiltinOperator.MAX_POOL_2D, kind, options, [source], self._value(op.output))

    def _least(self, name: str) -> int:
        """What no element of a tensor is below, as far as whoever makes it says."""
        return next((_bounds(op)[0] for op in self.graph.ops if op.output == name), -128)

    def add(self, op: Add) -> None:
        options = _options(
            self.writer,
            tflite.AddOptionsStart,
            tflite.AddOptionsEnd,
            "AddOptions",
            FusedActivationFunction=_activation(op),
        )
        self._simple(BuiltinOperator.ADD, BuiltinOptions.AddOptions, options, op)

    def clip(self, op: Clip) -> None:
        code = BuiltinOperator.RELU if op.hi == 127 else BuiltinOperator.RELU6
        if op.lo != 0:
            raise TwinError(f"{op.name}: a clip to {op.lo}..{op.hi} is not written")
        self._simple(code, BuiltinOptions.NONE, 0, op)

    def reshape(self, op: Reshape) -> None:
        source = self.graph.shapes[op.inputs[0]]
        places = np.arange(int(np.prod(source[1:]))).reshape(source[1:])
        if len(source) == 4:
            places = places.transpose(1, 2, 0)
        self.order[op.output] = places.ravel()
        shape = np.array(op.shape, np.int32)
        size = self.writer.tensor(f"{op.name}.shape", shape.shape, "int32", None, shape)
        target = self.writer._ints(tflite.ReshapeOptionsStartNewShapeVector, op.shape)
        options = _options(
            self.writer, tflite.ReshapeOptionsStart, tflite.ReshapeOptionsEnd, "ReshapeOptions", NewShape=target
        )
        inputs = [self.indices[op.inputs[0]], size]
        self.writer.operator(
            BuiltinOperator.RESHAPE, BuiltinOptions.ReshapeOptions, options, inputs, self._value(op.output)
        )

    def dense(self, op: Dense) -> None:
        """Inputs of a flattened map come in TFLite's order, and the weights' columns follow."""
        order = self.order.get(op.inputs[0])
        weights = self._weights(op, op.weight if order is None else np.ascontiguousarray(op.weight[:, order]))
        options = _options(
            self.writer,
            tflite.FullyConnectedOptionsStart,
            tflite.FullyConnectedOptionsEnd,
            "FullyConnectedOptions",
            FusedActivationFunction=_activation(op.cut),
        )
        inputs = [self.indices[op.inputs[0]], *weights]
        kind = BuiltinOptions.FullyConnectedOptions
        self.writer.operator(BuiltinOperator.FULLY_CONNECTED, kind, options, inputs, self._value(op.output))

    def _simple(self, code: int, kind: int, options: int, op: Op) -> None:
        self.writer.operator(code, kind, options, [self.indices[name] for name in op.inputs], self._value(op.output))


WRITERS: dict[type[Op], Callable[..., None]] = {
    Conv2d: _Twin.conv,
    MaxPool2d: _Twin.pool,
    Add: _Twin.add,
    Clip: _Twin.clip,
    Reshape: _Twin.reshape,
    Dense: _Twin.dense,
}


def _options(
    writer: Writer, start: Callable[..., object], end: Callable[..., object], table: str, **values: int
) -> int:
    """A table of options, whose functions the schema names after it."""
    start(writer.b)
    for name, value in values.items():
        getattr(tflite, f"{table}Add{name}")(writer.b, value)
    return int(end(writer.b))  # type: ignore[call-overload]


def _activation(bounds: Cut | MaxPool2d | Add) -> int:
    if bounds.lo != 0:
        return int(ActivationFunctionType.NONE)
    return int(ActivationFunctionType.RELU if bounds.hi == 127 else ActivationFunctionType.RELU6)


def _channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)


def _same(window: Window, shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns that TFLite's padding SAME gives."""
    return -(-shape[0] // window.stride[0]), -(-shape[1] // window.stride[1])


def _padding(window: Window, shape: Sequence[int], made: Sequence[int]) -> int | None:
    """TFLite's name for the padding as far as it is read, or None."""
    if not any(window.padding):
        return int(Padding.VALID)
    if tuple(made) != _same(window, shape):
        return None
    for axis, (size, count) in enumerate(zip(shape, made, strict=True)):
        missing = max(0, (count - 1) * window.stride[axis] + window.reach[axis] - size)
        if window.padding[axis] != missing // 2:
            return None
    return int(Padding.SAME)
