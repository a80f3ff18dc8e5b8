"""QONNX -> standard ONNX, exactly: `Quant` nodes become Clip (of narrow widths), QuantizeLinear and DequantizeLinear.

The meaning of the operators is that of QONNX's specification: y = (clip(round(x / scale + zero)) - zero) * scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from tvm_re2na.prequantized.encoding import WIDTHS, Encoding
from tvm_re2na.prequantized.errors import PrequantizedError
from tvm_re2na.quantize.net import Array, Net, Node, from_onnx, to_onnx

QUANT, BIPOLAR, OTHERS = ("Quant", "IntQuant"), "BipolarQuant", ("Trunc", "FloatQuant")
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "ROUND_TO_ZERO": np.trunc,
    "DOWN": np.trunc,
}
LOWEST_OPSET = 13


def to_qdq(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function in standard operators; a model without QONNX nodes is returned as it is.

    Raises PrequantizedError for what QuantizeLinear cannot say: more than 8 bits of data, computed scales, other roundings, Trunc.
    """
    if not any(_is_qonnx(node) for node in model.graph.node):
        return model
    net = from_onnx(model)
    nodes: list[Node] = []
    for node in net.nodes:
        if node.op in OTHERS and "onnx" in node.domain:
            raise PrequantizedError(f"{node.op} {node.name}: has no form in QuantizeLinear and DequantizeLinear")
        if node.op in QUANT and node.domain:
            _quant(net, node, nodes)
        elif node.op == BIPOLAR and node.domain:
            _bipolar(net, node, nodes)
        else:
            nodes.append(node)
    net.nodes = nodes
    net.opsets = [opset for opset in net.opsets if opset.domain in {"", *(node.domain for node in nodes)}]
    _raise_opset(net)
    return to_onnx(net)


def _is_qonnx(node: onnx.NodeProto) -> bool:
    return bool(node.domain) and node.op_type in (*QUANT, BIPOLAR, *OTHERS)


def _raise_opset(net: Net) -> None:
    """Scales per channel need opset 13; of what files of opset 9 to 12 hold, 13 changed the operators that are refused here."""
    for opset in net.opsets:
        if not opset.domain and opset.version < LOWEST_OPSET:
            changed = [
                node.op for node in net.nodes if node.op in ("Squeeze", "Unsqueeze", "Split", "Softmax", "ReduceSum")
            ]
            if changed:
                raise PrequantizedError(
                    f"opset {opset.version} with {changed[0]}: export it with opset {LOWEST_OPSET} or later"
                )
            opset.version = LOWEST_OPSET


def _quant(net: Net, node: Node, nodes: list[Node]) -> None:
    how = _encoding(net, node)
    value, rounding = net.constant(node, 0), _text(node.attributes.get("rounding_mode", b"ROUND"))
    if value is not None:
        _constant(net, node, nodes, value, how, rounding)
        return
    if rounding not in ("ROUND", "HALF_EVEN"):
        raise PrequantizedError(f"{node.op} {node.name}: rounding_mode {rounding} of computed data, expected ROUND")
    if how.kind not in ("int8", "uint8"):
        raise PrequantizedError(f"{node.op} {node.name}: {how.kind} data, expected at most 8 bits")
    source = node.inputs[0]
    if (how.low, how.high) != WIDTHS[how.kind]:
        if not how.per_tensor:
            raise PrequantizedError(f"{node.op} {node.name}: narrow data with a scale per channel, expected one scale")
        bounds = [
            net.add_constant(f"{node.name}.{side}", np.array(bound, np.float32))
            for side, bound in zip(("low", "high"), how.bounds, strict=True)
        ]
        nodes.append(Node("Clip", f"{node.name}.saturate", [source, *bounds], [f"{node.output}.saturated"]))
        source = f"{node.output}.saturated"
    names = _names(net, node, how)
    integers = f"{node.output}.integers"
    axis = {} if how.scale.size == 1 else {"axis": how.axis}
    nodes.append(Node("QuantizeLinear", f"{node.name}.quantize", [source, *names], [integers], dict(axis)))
    nodes.append(Node("DequantizeLinear", f"{node.name}.dequantize", [integers, *names], [node.output], dict(axis)))


def _constant(net: Net, node: Node, nodes: list[Node], value: Array, how: Encoding, rounding: str) -> None:
    if rounding not in ROUNDINGS:
        raise PrequantizedError(f"{node.op} {node.name}: rounding_mode {rounding}, known are {', '.join(ROUNDINGS)}")
    scale, zero = (how.along(item, value.ndim) for item in (how.scale, how.zero))
    exact = ROUNDINGS[rounding](value.astype(np.float32) / scale.astype(np.float32) + zero)
    integers = np.clip(exact, how.low, how.high).astype(how.kind)
    _dequantised(net, node, nodes, integers, how)


def _dequantised(net: Net, node: Node, nodes: list[Node], integers: Array, how: Encoding) -> None:
    constant = net.add_constant(f"{node.output}.integers", integers)
    axis = {} if how.scale.size == 1 else {"axis": how.axis}
    inputs = [constant, *_names(net, node, how)]
    nodes.append(Node("DequantizeLinear", f"{node.name}.dequantize", inputs, [node.output], axis))


def _names(net: Net, node: Node, how: Encoding) -> list[str]:
    """Constants of scale and zero point; a scalar each where there is one scale."""
    shape: tuple[int, ...] = () if how.scale.size == 1 else (how.scale.size,)
    scale, zero = how.scale.astype(np.float32).reshape(shape), np.broadcast_to(how.zero.reshape(-1), how.scale.shape)
    return [
        net.add_constant(f"{node.output}.scale", scale),
        net.add_constant(f"{node.output}.zero", np.ascontiguousarray(zero).astype(how.kind).reshape(shape)),
    ]


def _bipolar(net: Net, node: Node, nodes: list[Node]) -> None:
    value, scale = net.constant(node, 0), net.constant(node, 1)
    if value is None or scale is None or scale.size != 1:
        raise PrequantizedError(
            f"{node.op} {node.name}: of computed data or with several scales, expected constant weights"
        )
    how = Encoding(scale.astype(np.float64).reshape(-1), np.zeros(1, np.int64), "int8", -1, 1)
    _dequantised(net, node, nodes, np.where(value >= 0, 1, -1).astype(np.int8), how)


def _encoding(net: Net, node: Node) -> Encoding:
    where = f"{node.op} {node.name}"
    scale, zero, width = (net.constant(node, index) for index in (1, 2, 3))
    if scale is None or zero is None or width is None:
        raise PrequantizedError(f"{where}: scale, zero point or width is computed, expected constants")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise PrequantizedError(f"{where}: scale {float(scale.min())}, expected finite numbers above 0")
    bits, signed = float(width.reshape(-1)[0]), bool(node.attributes.get("signed", 1))
    if bits != int(bits) or not 1 <= bits <= 32 or (zero != np.rint(zero)).any():
        raise PrequantizedError(
            f"{where}: {bits:g} bits, zero point {float(zero.flat[0]):g}; expected whole numbers, 1 to 32 bits"
        )
    low, high = (-(2 ** (int(bits) - 1)), 2 ** (int(bits) - 1) - 1) if signed else (0, 2 ** int(bits) - 1)
    if node.attributes.get("narrow", 0):
        low, high = (low + 1, high) if signed else (low, high - 1)
    holder = 8 if bits <= 8 else 16 if bits <= 16 else 32
    axes = [index for index, size in enumerate(scale.shape) if size > 1]
    if len(axes) > 1:
        raise PrequantizedError(f"{where}: its scale has shape {scale.shape}, expected one per tensor or per channel")
    kind = f"{'' if signed else 'u'}int{holder}"
    values = scale.astype(np.float64).reshape(-1), zero.astype(np.int64).reshape(-1)
    return Encoding(*values, kind, low, high, axes[0] if axes else 1)


def _text(value: object) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).upper()
