"""What each operator of a quantised model is in float: one function each. Inputs mean what ONNX and ONNX Runtime say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tvm_re2na.codegen.arithmetic import compose
from tvm_re2na.prequantized.encoding import Encoding, encoding
from tvm_re2na.prequantized.errors import PrequantizedError
from tvm_re2na.prequantized.reader import PASSING, Reader
from tvm_re2na.quantize.net import Node

Read = Callable[[Reader, Node], None]
DYNAMIC = ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")


def read(reader: Reader, node: Node) -> None:
    """Add the float form of one operator of the pre-quantised model."""
    known = READERS.get(node.op)
    if known is not None:
        known(reader, node)
        return
    if node.op.startswith("QLinear") or node.op in DYNAMIC or node.op in ("QGemm", "QAttention"):
        raise PrequantizedError(
            f"{node.op} {node.name}: this quantised operator is not known; known are {', '.join(READERS)}"
        )
    integers = [
        name for name in node.inputs if name in reader.encodings and reader.now(name) not in reader.net.constants
    ]
    if integers and node.inputs[0] == integers[0] and node.op in ("Relu", "Clip"):
        _clip_integers(reader, node)
        return
    if integers and (node.op not in PASSING or node.inputs[0] != integers[0]):
        raise PrequantizedError(
            f"{node.op} {node.name}: works on the integers {integers[0]}, which has no known float form"
        )
    _plain(reader, node, integers)


def _plain(reader: Reader, node: Node, integers: list[str]) -> None:
    source = reader.now(node.inputs[0]) if node.inputs else ""
    reader.nodes.append(
        Node(
            node.op,
            node.name,
            [reader.now(name) for name in node.inputs],
            list(node.outputs),
            node.attributes,
            node.domain,
        )
    )
    if integers:
        reader.encodings[node.output] = reader.encodings[integers[0]]
    if node.op in PASSING and source in reader.ranges:
        reader.ranges[node.output] = reader.ranges[source]
    if node.op == "Relu":
        reader.ranges[node.output] = compose(reader.ranges.get(source, (-math.inf, math.inf)), (0.0, math.inf))
    if node.op == "Clip":
        low, high = (reader.constant(node, index) for index in (1, 2))
        if (low is not None) + (high is not None) == sum(map(bool, node.inputs[1:])):
            bounds = -math.inf if low is None else float(low), math.inf if high is None else float(high)
            reader.ranges[node.output] = bounds


def _quantize(reader: Reader, node: Node) -> None:
    how = reader.encoding_at(node, 1, axis=int(node.attributes.get("axis", 1)))
    source = reader.now(node.inputs[0])
    if node.attributes.get("block_size", 0):
        raise PrequantizedError(
            f"{node.op} {node.name}: block_size {node.attributes['block_size']}, expected no blocks"
        )
    if source in reader.net.constants:
        reader.net.constants[node.output] = how.to_integers(reader.net.constants[source])
        reader.encodings[node.output] = how
        return
    reader.integer_result(node, source, how, node.inputs[0])


def _dequantize(reader: Reader, node: Node) -> None:
    if node.attributes.get("block_size", 0):
        raise PrequantizedError(
            f"{node.op} {node.name}: block_size {node.attributes['block_size']}, expected no blocks"
        )
    made = reader.encodings.get(node.inputs[0])
    integers = reader.constant(node, 0)
    how = reader.encoding_at(node, 1, integers, int(node.attributes.get("axis", 1)))
    if integers is not None:
        if made is not None:
            how = Encoding(how.scale, how.zero, made.kind, made.low, made.high, how.axis)
        reader.alias[node.output] = reader.real_constant(node, 0, how)
        return
    if made is None or not made.same_as(how):
        raise PrequantizedError(
            f"{node.op} {node.name}: {node.inputs[0]} was quantised with another scale or zero point, or is an input"
        )
    reader.alias[node.output] = reader.now(node.inputs[0])


def _clip_integers(reader: Reader, node: Node) -> None:
    """A Clip between QuantizeLinear and DequantizeLinear narrows the integers (QCDQ); a Relu there ends them at integer 0."""
    made = reader.encodings[node.inputs[0]]
    low, high = (reader.constant(node, index) for index in (1, 2)) if node.op == "Clip" else (np.int64(0), None)
    bounds = (
        made.low if low is None else max(int(low), made.low),
        made.high if high is None else min(int(high), made.high),
    )
    how = Encoding(made.scale, made.zero, made.kind, *bounds, made.axis)
    reader.encodings[node.output] = how
    source = reader.now(node.inputs[0])
    tensor = reader.saturated(source, node.output, how)
    reader.alias[node.output] = tensor
    if node.op == "Clip" and reader.activations and reader.activations[-1].tensor in (source, node.inputs[0]):
        last = reader.activations.pop()
        reader.activations.append(type(last)(last.name, tensor, how))


def _clip_constant(reader: Reader, node: Node) -> None:
    """A Clip of constant integers is done here; of anything else as ever."""
    value = reader.constant(node, 0)
    if value is None:
        integers = [name for name in node.inputs[:1] if name in reader.encodings]
        _clip_integers(reader, node) if integers else _plain(reader, node, [])
        return
    low, high = (reader.constant(node, index) for index in (1, 2))
    clipped = np.clip(value, low, high)
    reader.net.constants[node.output] = clipped
    made = reader.encodings.get(node.inputs[0])
    if made is not None:
        bounds = (made.low if low is None else int(low), made.high if high is None else int(high))
        reader.encodings[node.output] = Encoding(made.scale, made.zero, made.kind, *bounds, made.axis)


def _bias(reader: Reader, node: Node, index: int, data: Encoding, weight: Encoding, factor: float = 1.0) -> list[str]:
    """A bias of integers has the scale of the products, per channel where the weights have."""
    if len(node.inputs) <= index or not node.inputs[index]:
        return []
    scale = data.scale[0] * weight.scale * factor
    return [reader.real_constant(node, index, encoding(f"{node.op} {node.name}", scale, None, "int32", 0))]


def _weight(reader: Reader, node: Node, index: int, axis: int) -> tuple[str, Encoding]:
    how = reader.encoding_at(node, index + 1, reader.constant(node, index), axis)
    return reader.real_constant(node, index, how), how


def _conv(reader: Reader, node: Node) -> None:
    data, result = reader.encoding_at(node, 1), reader.encoding_at(node, 6)
    weight, how = _weight(reader, node, 3, 0)
    raw = f"{node.output}.sums"
    inputs = [reader.now(node.inputs[0]), weight, *_bias(reader, node, 8, data, how)]
    reader.emit("Conv", node.name, inputs, raw, **node.attributes)
    reader.integer_result(node, raw, result, node.output)


def _matmul(reader: Reader, node: Node) -> None:
    weight, _ = _weight(reader, node, 3, 1)
    raw = f"{node.output}.sums"
    reader.emit("MatMul", node.name, [reader.now(node.inputs[0]), weight], raw)
    reader.integer_result(node, raw, reader.encoding_at(node, 6), node.output)


def _gemm(reader: Reader, node: Node) -> None:
    data = reader.encoding_at(node, 1)
    weight, how = _weight(reader, node, 3, 0 if node.attributes.get("transB", 0) else 1)
    alpha = float(node.attributes.get("alpha", 1.0))
    inputs = [reader.now(node.inputs[0]), weight, *_bias(reader, node, 6, data, how, alpha)]
    if len(node.inputs) < 9:  # without an output scale the result is float
        reader.emit("Gemm", node.name, inputs, node.output, **node.attributes)
        return
    raw = f"{node.output}.sums"
    reader.emit("Gemm", node.name, inputs, raw, **node.attributes)
    reader.integer_result(node, raw, reader.encoding_at(node, 7), node.output)


def _binary(op: str) -> Read:
    def read_binary(reader: Reader, node: Node) -> None:
        operands = [_operand(reader, node, index) for index in (0, 3)]
        raw = f"{node.output}.sums"
        reader.emit(op, node.name, operands, raw)
        reader.integer_result(node, raw, reader.encoding_at(node, 6), node.output)

    return read_binary


def _operand(reader: Reader, node: Node, index: int) -> str:
    if reader.constant(node, index) is not None:
        return _weight(reader, node, index, 1)[0]
    return reader.now(node.inputs[index])


def _concat(reader: Reader, node: Node) -> None:
    operands = [_operand(reader, node, index) for index in range(2, len(node.inputs), 3)]
    raw = f"{node.output}.joined"
    reader.emit("Concat", node.name, operands, raw, **node.attributes)
    reader.integer_result(node, raw, reader.encoding_at(node, 0), node.output)


def _average(op: str) -> Read:
    def read_average(reader: Reader, node: Node) -> None:
        if node.attributes.pop("channels_last", 0):
            raise PrequantizedError(f"{node.op} {node.name}: channels_last 1, expected 0 (N, C, H, W)")
        raw = f"{node.output}.mean"
        reader.emit(op, node.name, [reader.now(node.inputs[0])], raw, **node.attributes)
        reader.integer_result(node, raw, reader.encoding_at(node, 3), node.output)

    return read_average


READERS: dict[str, Read] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Clip": _clip_constant,
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearConcat": _concat,
    "QLinearAveragePool": _average("AveragePool"),
    "QLinearGlobalAveragePool": _average("GlobalAveragePool"),
}
