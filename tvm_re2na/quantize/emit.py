"""Stage 7: the ONNX QDQ model that the exponents describe."""

from __future__ import annotations

import copy
import math

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constraints import half
from tvm_re2na.quantize.layers import SAME_EXPONENT, Layer, Quantised
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.scales import Exponents, quantise


def emit(net: Net, quantised: Quantised, exponents: Exponents, arch: Architecture) -> Net:
    """A new Net: every quantised tensor goes through QuantizeLinear and DequantizeLinear, weights and biases are integers."""
    return _Emitter(copy.deepcopy(net), quantised, exponents, arch).run()


class _Emitter:
    def __init__(self, net: Net, quantised: Quantised, exponents: Exponents, arch: Architecture) -> None:
        self.net = net
        self.exponents = exponents
        self.arch = arch
        self.group_of = quantised.group_of
        self.narrow = arch.data_bits < 8
        self.layers = {layer.node.name: layer for layer in quantised.layers}
        self.nodes: list[Node] = []

    def run(self) -> Net:
        net = self.net
        if net.input_name in self.group_of:
            self._quantise(self._saturated(net.input_name, net.input_name), net.input_name)
        for node in net.nodes:
            self._node(node)
        net.nodes = self.nodes
        return net

    def exponent(self, tensor: str) -> int:
        return self.exponents.group[self.group_of[tensor]]

    def _node(self, node: Node) -> None:
        node.inputs = [self._rounded(name) for name in node.inputs]
        if node.name in self.layers:
            self._constants(node, self.layers[node.name])
        produced = [name for name in node.outputs if name in self.group_of]
        bounded = node.name in self.net.bounds
        if produced and bounded and (node.op == "Clip" or self.narrow):
            self._finite_bounds(node, self.exponent(produced[0]))
        if not produced:
            self.nodes.append(node)
            return
        raw = {name: f"{name}.float" for name in produced}
        node.outputs = [raw.get(name, name) for name in node.outputs]
        self.nodes.append(node)
        for name in produced:
            within = bounded or node.op in SAME_EXPONENT
            self._quantise(raw[name] if within else self._saturated(raw[name], name), name)

    def _rounded(self, tensor: str) -> str:
        return f"{tensor}.rounded" if tensor in self.group_of and tensor not in self.net.output_names else tensor

    def _quantise(self, raw: str, tensor: str) -> None:
        """raw -> int8 -> the float that consumers read; a model output keeps its name."""
        scale = self._scale(f"{tensor}.scale", self.exponent(tensor))
        zero = self.net.add_constant(f"{tensor}.zero", np.array(0, np.int8))
        self.nodes.append(Node("QuantizeLinear", f"{tensor}.quantize", [raw, scale, zero], [f"{tensor}.int8"]))
        inputs = [f"{tensor}.int8", scale, zero]
        self.nodes.append(Node("DequantizeLinear", f"{tensor}.dequantize", inputs, [self._rounded(tensor)]))

    def _saturated(self, raw: str, tensor: str) -> str:
        """A machine of fewer than 8 bits saturates earlier than the file's int8 does: a Clip of its own says where."""
        if not self.narrow:
            return raw
        node = Node("Clip", f"{tensor}.saturate", [raw], [f"{tensor}.saturated"])
        self.net.bounds[node.name] = (-math.inf, math.inf)
        self._finite_bounds(node, self.exponent(tensor))
        self.nodes.append(node)
        return node.output

    def _scale(self, name: str, exponent: int) -> str:
        return self.net.add_constant(name, np.array(math.ldexp(1.0, exponent), np.float32))

    def _constants(self, node: Node, layer: Layer) -> None:
        unit = self.exponents.weight[node.name]
        sums = self.exponent(layer.source) + unit
        lsb = self.exponent(layer.result) - sums
        weight = quantise(self.net.constants[node.inputs[1]], unit, self.arch).astype(np.int8)
        bias = np.rint(self.net.constants[node.inputs[2]].astype(np.float64) / math.ldexp(1.0, sums)).astype(np.int32)
        # the file rounds half up; that a machine which truncates does not is told by a bias that is smaller by the half
        bias -= half(lsb) - self.arch.half(lsb)
        node.inputs[1] = self._dequantised(f"{node.name}.weight", weight, unit, np.int8)
        node.inputs[2] = self._dequantised(f"{node.name}.bias", bias, sums, np.int32)

    def _dequantised(self, name: str, value: np.ndarray, exponent: int, kind: type) -> str:
        constant = self.net.add_constant(f"{name}.{np.dtype(kind).name}", value)
        scale = self._scale(f"{name}.scale", exponent)
        zero = self.net.add_constant(f"{name}.zero", np.array(0, kind))
        self.nodes.append(Node("DequantizeLinear", f"{name}.dequantize", [constant, scale, zero], [f"{name}.rounded"]))
        return f"{name}.rounded"

    def _finite_bounds(self, node: Node, exponent: int) -> None:
        """A Clip with both bounds, within what the data can hold: TVM 0.19 turns an open or a huge bound into 0 on the way to
        integers, and a Relu has no upper bound where the machine has one."""
        low, high = math.ldexp(self.arch.data_min, exponent), math.ldexp(self.arch.data_max, exponent)
        bounds = [min(max(bound, low), high) for bound in self.net.bounds[node.name]]
        names = (f"{node.name}.low", f"{node.name}.high")
        constants = [
            self.net.add_constant(name, np.array(value, np.float32)) for name, value in zip(names, bounds, strict=True)
        ]
        node.op, node.inputs = "Clip", [node.inputs[0], *constants]
