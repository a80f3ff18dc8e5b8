"""A small quantised TFLite model, written with the schema's own builders: convolution, pooling, reshape, dense layer."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
import tflite
from tflite import BuiltinOperator, BuiltinOptions, TensorType

TYPES = {"int8": TensorType.INT8, "int32": TensorType.INT32}


class Writer:
    def __init__(self) -> None:
        self.b = flatbuffers.Builder(1024)
        self.buffers: list[bytes] = [b""]
        self.tensors: list[int] = []
        self.operators: list[int] = []
        self.codes: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: str,
        scale: float | Sequence[float] | None,
        value: np.ndarray | None = None,
    ) -> int:
        """The index of a new tensor; NHWC, OHWI. Several scales belong to the first axis."""
        b, buffer = self.b, 0
        if value is not None:
            self.buffers.append(np.ascontiguousarray(value).tobytes())
            buffer = len(self.buffers) - 1
        label, dimensions = b.CreateString(name), self._ints(tflite.TensorStartShapeVector, shape)
        quantisation = self._quantisation(scale) if scale is not None else None
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, dimensions)
        tflite.TensorAddType(b, TYPES[kind])
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddName(b, label)
        if quantisation is not None:
            tflite.TensorAddQuantization(b, quantisation)
        self.tensors.append(tflite.TensorEnd(b))
        return len(self.tensors) - 1

    def _quantisation(self, scale: float | Sequence[float]) -> int:
        b, scales = self.b, [scale] if isinstance(scale, float) else list(scale)
        tflite.QuantizationParametersStartScaleVector(b, len(scales))
        for item in reversed(scales):
            b.PrependFloat32(item)
        steps = b.EndVector()
        tflite.QuantizationParametersStartZeroPointVector(b, len(scales))
        for _ in scales:
            b.PrependInt64(0)
        zeros = b.EndVector()
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, steps)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        return int(tflite.QuantizationParametersEnd(b))

    def operator(self, code: int, kind: int, options: int, inputs: Sequence[int], output: int) -> None:
        b = self.b
        self.codes.append(code)
        sources = self._ints(tflite.OperatorStartInputsVector, inputs)
        results = self._ints(tflite.OperatorStartOutputsVector, [output])
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, len(self.codes) - 1)
        tflite.OperatorAddInputs(b, sources)
        tflite.OperatorAddOutputs(b, results)
        tflite.OperatorAddBuiltinOptionsType(b, kind)
        tflite.OperatorAddBuiltinOptions(b, options)
        self.operators.append(tflite.OperatorEnd(b))

    def _ints(self, start: object, values: Sequence[int]) -> int:
        start(self.b, len(values))  # type: ignore[operator]
        for value in reversed(values):
            self.b.PrependInt32(int(value))
        return int(self.b.EndVector())

    def _offsets(self, start: object, values: Sequence[int]) -> int:
        start(self.b, len(values))  # type: ignore[operator]
        for value in reversed(values):
            self.b.PrependUOffsetTRelative(value)
        return int(self.b.EndVector())

    def finish(self, source: int, result: int) -> bytes:
        b = self.b
        tensors = self._offsets(tflite.SubGraphStartTensorsVector, self.tensors)
        inputs, outputs = (
            self._ints(start, [index])
            for start, index in (
                (tflite.SubGraphStartInputsVector, source),
                (tflite.SubGraphStartOutputsVector, result),
            )
        )
        operators = self._offsets(tflite.SubGraphStartOperatorsVector, self.operators)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        graph = tflite.SubGraphEnd(b)
        buffers = []
        for content in self.buffers:
            data = b.CreateByteVector(content) if content else None
            tflite.BufferStart(b)
            if data is not None:
                tflite.BufferAddData(b, data)
            buffers.append(tflite.BufferEnd(b))
        codes = []
        for code in self.codes:
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
            tflite.OperatorCodeAddBuiltinCode(b, code)
            tflite.OperatorCodeAddVersion(b, 1)
            codes.append(tflite.OperatorCodeEnd(b))
        graphs = self._offsets(tflite.ModelStartSubgraphsVector, [graph])
        stored = self._offsets(tflite.ModelStartBuffersVector, buffers)
        known = self._offsets(tflite.ModelStartOperatorCodesVector, codes)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, known)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, stored)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())


def network(step: float = 1.0, seed: int = 0) -> bytes:
    """(1, 8, 8, 3) int8 -> conv 3x3 with ReLU -> max pool 2x2 -> dense (1, 5); scales are powers of two times `step`."""
    rng, w = np.random.default_rng(seed), Writer()
    x = w.tensor("x", (1, 8, 8, 3), "int8", 2.0**-5)
    kernel = rng.integers(-40, 41, (6, 3, 3, 3)).astype(np.int8)
    weight = w.tensor("conv.weight", kernel.shape, "int8", step * 2.0**-7, kernel)
    bias = w.tensor("conv.bias", (6,), "int32", step * 2.0**-12, rng.integers(-900, 900, 6).astype(np.int32))
    y = w.tensor("conv", (1, 8, 8, 6), "int8", 2.0**-5)
    w.operator(BuiltinOperator.CONV_2D, BuiltinOptions.Conv2DOptions, _conv(w), [x, weight, bias], y)
    pooled = w.tensor("pool", (1, 4, 4, 6), "int8", 2.0**-5)
    w.operator(BuiltinOperator.MAX_POOL_2D, BuiltinOptions.Pool2DOptions, _pool(w), [y], pooled)
    size = w.tensor("size", (2,), "int32", None, np.array([1, 96], np.int32))
    flat = w.tensor("flat", (1, 96), "int8", 2.0**-5)
    w.operator(BuiltinOperator.RESHAPE, BuiltinOptions.ReshapeOptions, _reshape(w), [pooled, size], flat)
    matrix = rng.integers(-20, 21, (5, 96)).astype(np.int8)
    dense = w.tensor("dense.weight", matrix.shape, "int8", step * 2.0**-7, matrix)
    offset = w.tensor("dense.bias", (5,), "int32", step * 2.0**-12, rng.integers(-900, 900, 5).astype(np.int32))
    out = w.tensor("out", (1, 5), "int8", 2.0**-4)
    w.operator(
        BuiltinOperator.FULLY_CONNECTED,
        BuiltinOptions.FullyConnectedOptions,
        _dense(w),
        [flat, dense, offset],
        out,
    )
    return w.finish(x, out)


def _conv(w: Writer) -> int:
    tflite.Conv2DOptionsStart(w.b)
    tflite.Conv2DOptionsAddPadding(w.b, tflite.Padding.SAME)
    tflite.Conv2DOptionsAddStrideW(w.b, 1)
    tflite.Conv2DOptionsAddStrideH(w.b, 1)
    tflite.Conv2DOptionsAddFusedActivationFunction(w.b, tflite.ActivationFunctionType.RELU)
    return int(tflite.Conv2DOptionsEnd(w.b))


def _pool(w: Writer) -> int:
    tflite.Pool2DOptionsStart(w.b)
    tflite.Pool2DOptionsAddPadding(w.b, tflite.Padding.VALID)
    tflite.Pool2DOptionsAddStrideW(w.b, 2)
    tflite.Pool2DOptionsAddStrideH(w.b, 2)
    tflite.Pool2DOptionsAddFilterWidth(w.b, 2)
    tflite.Pool2DOptionsAddFilterHeight(w.b, 2)
    return int(tflite.Pool2DOptionsEnd(w.b))


def _reshape(w: Writer) -> int:
    shape = w._ints(tflite.ReshapeOptionsStartNewShapeVector, [1, 96])
    tflite.ReshapeOptionsStart(w.b)
    tflite.ReshapeOptionsAddNewShape(w.b, shape)
    return int(tflite.ReshapeOptionsEnd(w.b))


def _dense(w: Writer) -> int:
    tflite.FullyConnectedOptionsStart(w.b)
    return int(tflite.FullyConnectedOptionsEnd(w.b))
