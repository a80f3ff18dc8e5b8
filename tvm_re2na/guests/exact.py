"""Whether a guest is exact on the machine as it is, said without TVM."""

from __future__ import annotations

import math

import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.guests.dequantise import Float
from tvm_re2na.guests.encoding import Encoding

LINEAR = ("Conv", "Gemm", "MatMul")


def is_exact(model: onnx.ModelProto, guest: Float, arch: Architecture) -> bool:
    """Whether nothing of the guest has to change: every tensor is int8 with one power-of-two scale and zero point 0, every linear
    layer has quantised operands and result, and its cut fits the accumulator."""
    encodings = [*(item.encoding for item in guest.activations), *guest.weights.values()]
    if not encodings or not all(how.is_exact(arch.data_min, arch.data_max) for how in encodings):
        return False
    activations = {item.tensor: item.encoding for item in guest.activations}
    nodes = {name: node for node in guest.model.graph.node for name in node.output}
    linear = [node for node in guest.model.graph.node if node.op_type in LINEAR]
    return all(_cut_fits(node, activations, nodes, guest, arch) for node in linear)


def _cut_fits(
    node: onnx.NodeProto,
    activations: dict[str, Encoding],
    nodes: dict[str, onnx.NodeProto],
    guest: Float,
    arch: Architecture,
) -> bool:
    result = _result(node.output[0], activations, nodes)
    source, weight = activations.get(node.input[0]), guest.weights.get(node.name)
    if source is None or weight is None or result is None:
        return False
    return 0 <= _exponent(result) - _exponent(source) - _exponent(weight) < arch.acc_bits


def _result(tensor: str, activations: dict[str, Encoding], nodes: dict[str, onnx.NodeProto]) -> Encoding | None:
    """The encoding of a layer's result, which stands behind its activation."""
    while tensor not in activations:
        behind = [node for node in nodes.values() if tensor in node.input]
        if len(behind) != 1 or behind[0].op_type not in ("Relu", "Clip"):
            return None
        tensor = behind[0].output[0]
    return activations[tensor]


def _exponent(how: Encoding) -> int:
    return math.frexp(float(how.scale.flat[0]))[1] - 1
