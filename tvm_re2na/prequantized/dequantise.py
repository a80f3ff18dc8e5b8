"""A quantised ONNX model of any make -> the float model that it approximates.

Rounding is taken out, saturation is not: where the model's integers end, its function is flat, and that is often its activation
(quantisers drop a ReLU whose work a zero point at the lowest integer does). So each range that a value could leave becomes a
Clip. The one exception is the range of the model's input, which is dropped: images have bounds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from tvm_re2na.prequantized import operators
from tvm_re2na.prequantized.encoding import Encoding
from tvm_re2na.prequantized.reader import QuantisedTensor, Reader
from tvm_re2na.quantize.net import Net, Node, from_onnx, to_onnx

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class DequantisedModel:
    """`model` is plain float32 ONNX. `activations` in the order of the file; `weights` by the name of the layer they belong to."""

    model: onnx.ModelProto
    activations: tuple[QuantisedTensor, ...]
    weights: dict[str, Encoding]


def dequantise(model: onnx.ModelProto) -> DequantisedModel:
    """The float model of a pre-quantised one. Raises PrequantizedError naming the operator that is not known, or what it has."""
    net = from_onnx(model)
    reader = Reader(net)
    for node in net.nodes:
        operators.read(reader, node)
    net.nodes = reader.nodes
    _keep_output_names(net, reader)
    _free_names(net, reader)
    if not any(node.domain == MICROSOFT for node in net.nodes):
        net.opsets = [opset for opset in net.opsets if opset.domain != MICROSOFT]
    weights = {
        node.name: reader.encodings[node.inputs[1]]
        for node in net.nodes
        if node.op in ("Conv", "Gemm", "MatMul") and node.inputs[1] in reader.encodings
    }
    return DequantisedModel(to_onnx(net), tuple(reader.activations), weights)


def _free_names(net: Net, reader: Reader) -> None:
    """Inner tensors lose their dots: the quantiser adds suffixes to names, and may have made this model."""
    border = {*net.input_names, *net.output_names}
    plain = {name: name.replace(".", "_") for node in net.nodes for name in node.outputs if name not in border}
    taken = border | set(net.constants)
    for name, wanted in list(plain.items()):
        while wanted in taken:
            wanted += "_"
        plain[name] = wanted
        taken.add(wanted)
    for node in net.nodes:
        node.inputs = [plain.get(name, name) for name in node.inputs]
        node.outputs = [plain.get(name, name) for name in node.outputs]
    net.shapes = {plain.get(name, name): shape for name, shape in net.shapes.items()}
    net.integers = frozenset()  # they are float now
    reader.activations = [
        QuantisedTensor(item.name, plain.get(item.tensor, item.tensor), item.encoding) for item in reader.activations
    ]


def _keep_output_names(net: Net, reader: Reader) -> None:
    """Outputs of the model that are other tensors now get their names back."""
    for output in net.output_names:
        tensor = reader.now(output)
        if tensor == output:
            continue
        if tensor in net.input_names or tensor in net.output_names:
            net.nodes.append(Node("Identity", f"{output}.identity", [tensor], [output]))
            continue
        for node in net.nodes:
            node.inputs = [output if name == tensor else name for name in node.inputs]
            node.outputs = [output if name == tensor else name for name in node.outputs]
        renamed = [
            QuantisedTensor(item.name, output, item.encoding) if item.tensor == tensor else item
            for item in reader.activations
        ]
        reader.activations = renamed
