"""Whether a pre-quantised model is exact on the machine as it is, said without TVM."""

from __future__ import annotations

import math

import onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import half
from tvm_re2na.prequantized.dequantise import DequantisedModel
from tvm_re2na.prequantized.encoding import Encoding
from tvm_re2na.prequantized.reader import PASSING
from tvm_re2na.progress import Progress
from tvm_re2na.quantize.load import Calibration, check_calibration
from tvm_re2na.quantize.net import Net, Node, from_onnx
from tvm_re2na.quantize.observe import extremes

LINEAR = ("Conv", "Gemm", "MatMul")


class LayerEncodings:
    """How the operands and results of a pre-quantised model's linear layers are quantised."""

    def __init__(self, model: DequantisedModel) -> None:
        self.net = from_onnx(model.model)
        self.model = model
        self._activations = {item.tensor: item.encoding for item in model.activations}
        self.layers = [node for node in self.net.nodes if node.op in LINEAR]

    def source(self, layer: Node) -> Encoding | None:
        """Of a layer's data, found through the operators that move integers as they are."""
        tensor = layer.inputs[0]
        while tensor not in self._activations:
            node = self.net.producer(tensor)
            if node is None or node.op not in PASSING:
                return None
            tensor = node.inputs[0]
        return self._activations[tensor]

    def weight(self, layer: Node) -> Encoding | None:
        return self.model.weights.get(layer.name)

    def result(self, layer: Node) -> Encoding | None:
        """Of a layer's result, which stands behind its activation."""
        tensor = layer.output
        while tensor not in self._activations:
            behind = self.net.only_consumer(tensor)
            if behind is None or behind.op not in ("Relu", "Clip"):
                return None
            tensor = behind.output
        return self._activations[tensor]

    def cut(self, layer: Node) -> tuple[int, int] | None:
        """(exponent of the sums, bits cut off), None where an operand or the result is not quantised."""
        forms = self.source(layer), self.weight(layer), self.result(layer)
        exponents = [math.frexp(float(how.scale.flat[0]))[1] - 1 for how in forms if how is not None]
        if len(exponents) < len(forms):
            return None
        unit = exponents[0] + exponents[1]
        return unit, exponents[2] - unit


def is_exact(model: DequantisedModel, layers: LayerEncodings, arch: Architecture) -> bool:
    """Whether no number of the model has to change: every tensor is int8 with one power-of-two scale and zero point 0, every
    linear layer has quantised operands and result, and its cut lies within the accumulator."""
    encodings = [*(item.encoding for item in model.activations), *model.weights.values()]
    if not encodings or not all(how.is_exact(arch.data_min, arch.data_max) for how in encodings):
        return False
    cuts = [layers.cut(layer) for layer in layers.layers]
    return all(cut is not None and 0 <= cut[1] < arch.acc_bits for cut in cuts)


def overflowing(
    model: onnx.ModelProto, layers: LayerEncodings, calibration: Calibration, arch: Architecture, progress: Progress
) -> tuple[str, ...]:
    """The layers of an exact model whose sums leave the accumulator on the calibration images.

    The sums are those of the model itself where it has float operators between quantisations, which hold them exactly; of QLinear
    operators, which hide them, those of the float model in their place.
    """
    net = from_onnx(model)
    check_calibration(calibration, net)
    names = {node.name for node in net.nodes if node.op in LINEAR}
    seen_in: Net = net if all(layer.name in names for layer in layers.layers) else layers.net
    outputs = {node.name: node.output for node in seen_in.nodes if node.op in LINEAR}
    sums = extremes(seen_in, list(outputs.values()), calibration, progress, "checking accumulators")
    full = []
    for layer in layers.layers:
        unit, lsb = layers.cut(layer) or (0, 0)
        low, high = (math.ldexp(limits[outputs[layer.name]], -unit) + half(lsb) for limits in (sums.low, sums.high))
        if low < arch.acc_min or high > arch.acc_max:
            full.append(layer.name)
    return tuple(full)
