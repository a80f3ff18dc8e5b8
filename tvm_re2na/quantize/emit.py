"""The ONNX QDQ model that a plan describes."""

from __future__ import annotations

import math

import numpy as np

from tvm_re2na.quantize.channels import take_scaling_back
from tvm_re2na.quantize.layers import Layer, has_same_exponent
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.pads import settle_pad
from tvm_re2na.quantize.plan import IntArray, QuantizationPlan
from tvm_re2na.quantize.transposed import as_stored

TIE = 0.25  # of a sum's unit: lifts ties over the half and changes nothing else


def emit(net: Net, plan: QuantizationPlan, *, half_up: bool = False) -> Net:
    """A new Net: every quantised tensor goes through QuantizeLinear and DequantizeLinear, weights and biases are integers.

    `half_up` makes ONNX Runtime round the layers' results as the machine does, halves upward, by biases that are no integers: for
    our own runs of the network, not for a file.
    """
    return _Emitter(net.copied(), plan, half_up).run()


class _Emitter:
    def __init__(self, net: Net, plan: QuantizationPlan, half_up: bool) -> None:
        self.net = net
        self.plan = plan
        self.half_up = half_up
        self.group_of = plan.quantised.group_of
        self.narrow = plan.data != (-128, 127)
        self.layers = {layer.name: layer for layer in plan.quantised.layers}
        self.nodes: list[Node] = []

    def run(self) -> Net:
        net = self.net
        if not self.half_up:
            take_scaling_back(net, self.plan.quantised.layers)
        for name in net.input_names:
            if name in self.group_of:
                self._quantise(self._saturated(name, name), name)
        for node in list(net.nodes):
            if node.op == "Pad" and node.output in self.plan.quantised.padded:
                settle_pad(net, node, self.plan.exponent(node.output), self.plan.data)
        for node in net.nodes:
            self._node(node)
        net.nodes = self.nodes
        return net

    def _node(self, node: Node) -> None:
        node.inputs = [self._rounded(name) for name in node.inputs]
        if node.name in self.layers:
            self._constants(node, self.layers[node.name])
        produced = [name for name in node.outputs if name in self.group_of]
        bounded = node.name in self.net.bounds
        if produced and bounded and (node.op == "Clip" or self.narrow):
            self._finite_bounds(node, self.plan.exponent(produced[0]))
        if not produced:
            self.nodes.append(node)
            return
        raw = {name: f"{name}.float" for name in produced}
        node.outputs = [raw.get(name, name) for name in node.outputs]
        self.nodes.append(node)
        for name in produced:
            within = bounded or has_same_exponent(node)
            self._quantise(raw[name] if within else self._saturated(raw[name], name), name)

    def _rounded(self, tensor: str) -> str:
        return read_name(self.net, tensor) if tensor in self.group_of else tensor

    def _quantise(self, raw: str, tensor: str) -> None:
        """raw -> int8 -> the float that consumers read; a model output keeps its name."""
        scale = self._scale(f"{tensor}.scale", self.plan.exponent(tensor))
        zero = self.net.add_constant(f"{tensor}.zero", np.array(0, np.int8))
        self.nodes.append(Node("QuantizeLinear", f"{tensor}.quantize", [raw, scale, zero], [int8_name(tensor)]))
        inputs = [int8_name(tensor), scale, zero]
        self.nodes.append(Node("DequantizeLinear", f"{tensor}.dequantize", inputs, [self._rounded(tensor)]))

    def _saturated(self, raw: str, tensor: str) -> str:
        """Data of fewer than 8 bits saturate earlier than the file's int8 does: a Clip of its own says where."""
        if not self.narrow:
            return raw
        node = Node("Clip", f"{tensor}.saturate", [raw], [f"{tensor}.saturated"])
        self.net.bounds[node.name] = (-math.inf, math.inf)
        self._finite_bounds(node, self.plan.exponent(tensor))
        self.nodes.append(node)
        return node.output

    def _scale(self, name: str, exponents: int | IntArray) -> str:
        return self.net.add_constant(name, np.array(np.ldexp(np.float32(1), exponents), np.float32))

    def _constants(self, node: Node, layer: Layer) -> None:
        weight, bias = self.plan.integers[layer.name]
        unit, finer = self.plan.unit(layer), () if self.half_up else layer.finer
        stored, e_w = as_stored(node, weight), self.plan.weight[layer.name]
        node.inputs[1] = self._dequantised(f"{node.name}.weight", stored, e_w, finer, np.int8)
        if self.half_up:
            lifted = np.ldexp(bias + TIE, unit).astype(np.float32)
            node.inputs[2] = self.net.add_constant(f"{node.name}.bias.lifted", lifted)
        else:
            node.inputs[2] = self._dequantised(f"{node.name}.bias", bias, unit, finer, np.int32)

    def _dequantised(self, name: str, value: np.ndarray, exponent: int, finer: tuple[int, ...], kind: type) -> str:
        """Of one scale, or where `finer` has numbers of one for each output channel."""
        constant = self.net.add_constant(f"{name}.{np.dtype(kind).name}", value.astype(kind))
        exponents = exponent - np.array(finer) if finer else np.array(exponent)
        scale = self._scale(f"{name}.scale", exponents)
        zero = self.net.add_constant(f"{name}.zero", np.zeros(exponents.shape, kind))
        axis = {"axis": 0} if finer else {}
        inputs, outputs = [constant, scale, zero], [f"{name}.rounded"]
        self.nodes.append(Node("DequantizeLinear", f"{name}.dequantize", inputs, outputs, axis))
        return f"{name}.rounded"

    def _finite_bounds(self, node: Node, exponent: int) -> None:
        """A Clip with both bounds, within what the data can hold: TVM 0.19 turns an open or a huge bound into 0 on the way to
        integers, and a Relu has no upper bound where the data have one."""
        low, high = (math.ldexp(limit, exponent) for limit in self.plan.data)
        bounds = [min(max(bound, low), high) for bound in self.net.bounds[node.name]]
        names = (f"{node.name}.low", f"{node.name}.high")
        constants = [
            self.net.add_constant(name, np.array(value, np.float32)) for name, value in zip(names, bounds, strict=True)
        ]
        node.op, node.inputs = "Clip", [node.inputs[0], *constants]


def int8_name(tensor: str) -> str:
    """The integers of a quantised tensor in an emitted Net."""
    return f"{tensor}.int8"


def read_name(net: Net, tensor: str) -> str:
    """What consumers read of a quantised tensor in an emitted Net; a model output keeps its name."""
    return tensor if tensor in net.output_names else f"{tensor}.rounded"
