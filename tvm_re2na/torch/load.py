"""Any power-of-two QDQ model -> a PyTorch module that computes the machine's bits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import fx, nn

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arithmetic import exponent
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.quantize.load import load_model
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.net import from_onnx as read_net
from tvm_re2na.torch.layers import QAdd, QClip, QConv2d, QInput, QLayer, QLinear, QLinearLayer, QMaxPool2d, QReLU


class LoadError(Re2naError, ValueError):
    """The model cannot be emulated bit for bit; the message names the operator, the value and the limit."""


class _Value(NamedTuple):
    """A tensor on its way: its place in the graph, its exponent once it is quantised, the layers whose result it is before that."""

    node: fx.Node
    exponent: int | None
    waiting: tuple[QLayer, ...] = ()


class _Constant(NamedTuple):
    """Integers and their exponent."""

    integers: npt.NDArray[np.signedinteger]
    exponent: int


def from_onnx(model: onnx.ModelProto | str | os.PathLike[str], *, arch: Architecture | None = None) -> fx.GraphModule:
    """A module of Q-layers, (N, C, H, W) -> the model's first output, whose bits are those of TVM's CPU and of Re²Na.

    The model is ONNX QDQ with power-of-two scales, zero points 0 and int8 data, as `tvm_re2na.quantize` and `export` write it.
    `arch` is the machine that is emulated; the file says what is computed. Raises LoadError for anything else.
    """
    return _Loader(read_net(load_model(model)), arch or Architecture()).run()


class _Loader:
    def __init__(self, net: Net, arch: Architecture) -> None:
        self.net = net
        self.arch = arch
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.values: dict[str, _Value] = {}
        self.constants: dict[str, _Constant] = {}

    def run(self) -> fx.GraphModule:
        if len(self.net.inputs) != 1:
            raise LoadError(f"the model has {len(self.net.inputs)} inputs, expected one")
        self.values[self.net.input_name] = _Value(self.graph.placeholder("input"), None)
        for node in self.net.nodes:
            self._node(node)
        self.graph.output(self.values[self.net.output_names[0]].node)
        return fx.GraphModule(self.root, self.graph)

    def _node(self, node: Node) -> None:
        handlers: dict[str, Callable[[Node], None]] = {
            "QuantizeLinear": self._quantise,
            "DequantizeLinear": self._dequantise,
            "Conv": self._conv,
            "Gemm": self._gemm,
            "Relu": self._activation,
            "Clip": self._activation,
            "MaxPool": self._max_pool,
            "Add": self._add,
            "Flatten": self._flatten,
            "Reshape": self._flatten,
            "Concat": self._concat,
            "Gather": self._gather,
        }
        if node.op not in handlers:
            raise LoadError(f"{node.name}: {node.op} is no operator of a Q-layer; known: {', '.join(handlers)}")
        handlers[node.op](node)

    # ---- borders

    def _quantise(self, node: Node) -> None:
        step = self._exponent(node)
        value = self.values[node.inputs[0]]
        if value.node.op == "placeholder" or (value.exponent is None and not value.waiting):
            made = self._call(node.name, QInput(), value.node)
            self._set(made, step)
            self.values[node.output] = _Value(made, step)
            return
        for layer in value.waiting:
            layer.exponent = step
        if value.exponent is not None and value.exponent != step:
            raise LoadError(f"{node.name}: requantises from 2**{value.exponent} to 2**{step} outside a layer")
        self.values[node.output] = _Value(value.node, step)

    def _dequantise(self, node: Node) -> None:
        integers = self.net.constant(node, 0)
        if integers is not None:
            self.constants[node.output] = _Constant(integers, self._exponent(node))
        else:
            self.values[node.output] = self.values[node.inputs[0]]

    def _exponent(self, node: Node) -> int:
        step, zero = self.net.constant(node, 1), self.net.constant(node, 2)
        if step is None or step.size != 1:
            raise LoadError(f"{node.name}: {0 if step is None else step.size} scales, expected one for the tensor")
        found = float(step.reshape(-1)[0])
        if found <= 0 or math.frexp(found)[0] != 0.5:
            raise LoadError(f"{node.name}: scale {found} is no power of two")
        if zero is not None and (zero.any() or zero.dtype not in (np.int8, np.int32)):
            raise LoadError(f"{node.name}: zero point {zero.reshape(-1)[0]} of {zero.dtype}, expected 0 of int8")
        return exponent(found)

    # ---- layers

    def _conv(self, node: Node) -> None:
        weight = self._weight(node)
        attributes = node.attributes
        groups = int(attributes.get("group", 1))
        sizes = weight.integers.shape[1] * groups, len(weight.integers), tuple(weight.integers.shape[2:])
        if len(sizes[2]) != 2 or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise LoadError(f"{node.name}: expected a convolution of images with explicit pads")
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        stride, dilation = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
        layer = QConv2d(*sizes, stride=stride, dilation=dilation, groups=groups, pads=pads)
        self._linear(node, layer, weight)

    def _gemm(self, node: Node) -> None:
        weight = self._weight(node)
        plain = (node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0), node.attributes.get("transA", 0))
        if plain != (1.0, 1.0, 0):
            raise LoadError(f"{node.name}: alpha, beta, transA = {plain}, expected 1, 1, 0")
        if not node.attributes.get("transB", 0):
            weight = _Constant(weight.integers.T, weight.exponent)
        self._linear(node, QLinear(weight.integers.shape[1], len(weight.integers)), weight)

    def _weight(self, node: Node) -> _Constant:
        weight = self.constants.get(node.inputs[1])
        if weight is None or weight.integers.dtype != np.int8:
            raise LoadError(f"{node.name}: its weight is no int8 constant")
        return weight

    def _linear(self, node: Node, layer: QLinearLayer, weight: _Constant) -> None:
        source = self._quantised(node, node.inputs[0])
        layer.input_exponent, layer.weight_exponent = source.exponent, weight.exponent
        with torch.no_grad():
            layer.weight.copy_(_real(weight))
            if layer.bias is not None:
                layer.bias.copy_(_real(self._bias(node, layer.unit, len(weight.integers))))
        made = self._call(node.name, layer, source.node)
        self.values[node.output] = _Value(made, None, (layer,))

    def _bias(self, node: Node, unit: int, outputs: int) -> _Constant:
        if len(node.inputs) < 3 or not node.inputs[2]:
            return _Constant(np.zeros(outputs, np.int32), unit)
        bias = self.constants.get(node.inputs[2])
        if bias is None or bias.exponent != unit or bias.integers.dtype != np.int32:
            raise LoadError(f"{node.name}: its bias is no int32 constant in steps of the sums, 2**{unit}")
        return bias

    def _activation(self, node: Node) -> None:
        source = self.values[node.inputs[0]]
        if node.op == "Relu":
            layer: QClip = QReLU()
        else:
            low, high = (self._bound(node, i, default) for i, default in ((1, -math.inf), (2, math.inf)))
            layer = QReLU(high) if low == 0 else QClip(low, high)
        layer.exponent = source.exponent
        made = self._call(node.name, layer, source.node)
        self.values[node.output] = _Value(made, source.exponent, (*source.waiting, layer))
        if not source.waiting and source.exponent is None:  # a narrow input saturates before it is quantised
            self.values[node.output] = _Value(made, None)

    def _bound(self, node: Node, index: int, default: float) -> float:
        if len(node.inputs) <= index or not node.inputs[index]:
            return default
        value = self.net.constant(node, index)
        if value is None:
            raise LoadError(f"{node.name}: its bounds are no constants")
        return float(value)

    def _max_pool(self, node: Node) -> None:
        attributes = node.attributes
        kernel = tuple(attributes["kernel_shape"])
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        if pads[:2] != pads[2:] or any(2 * pad > size for pad, size in zip(pads, kernel, strict=False)):
            raise LoadError(f"{node.name}: pads {pads}, expected the same on both sides, at most half the kernel")
        stride, dilation = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
        layer = QMaxPool2d(kernel, stride, pads[:2], dilation, ceil_mode=bool(attributes.get("ceil_mode", 0)))
        source = self.values[node.inputs[0]]
        layer.exponent = source.exponent
        self._passed(node, source, self._call(node.name, layer, source.node), layer)

    def _add(self, node: Node) -> None:
        left, right = (self._quantised(node, name) for name in node.inputs)
        if left.exponent != right.exponent:
            raise LoadError(f"{node.name}: adds steps of 2**{left.exponent} and 2**{right.exponent}, expected one")
        layer = QAdd()
        made = self._call(node.name, layer, left.node, right.node)
        self.values[node.output] = _Value(made, None, (layer,))

    def _flatten(self, node: Node) -> None:
        source = self.values[node.inputs[0]]
        shape = self.net.shapes.get(node.output, ())
        if len(shape) != 2:
            raise LoadError(f"{node.name}: {node.op} to {shape}, expected (N, features)")
        self._passed(node, source, self.graph.call_function(torch.flatten, (source.node, 1)))

    def _concat(self, node: Node) -> None:
        sources = [self._quantised(node, name) for name in node.inputs]
        if len({source.exponent for source in sources}) != 1 or node.attributes["axis"] != 1:
            raise LoadError(f"{node.name}: concatenates along axis {node.attributes['axis']} or steps that differ")
        made = self.graph.call_function(torch.cat, ([source.node for source in sources], 1))
        self._passed(node, sources[0], made)

    def _gather(self, node: Node) -> None:
        source, numbers = self._quantised(node, node.inputs[0]), self.net.constant(node, 1)
        if numbers is None or numbers.ndim != 1 or node.attributes.get("axis", 0) != 1:
            raise LoadError(
                f"{node.name}: gathers along axis {node.attributes.get('axis', 0)}, expected constant channels"
            )
        name = self._free(f"{node.name}.numbers")
        self.root.register_buffer(name, torch.from_numpy(numbers.astype(np.int64)))
        made = self.graph.call_function(torch.index_select, (source.node, 1, self.graph.get_attr(name)))
        self._passed(node, source, made)

    # ---- helpers

    def _quantised(self, node: Node, name: str) -> _Value:
        value = self.values.get(name)
        if value is None or value.exponent is None:
            raise LoadError(f"{node.name}: reads {name}, which is not quantised")
        return value

    def _passed(self, node: Node, source: _Value, made: fx.Node, *layers: QLayer) -> None:
        """What moves or chooses values keeps their exponent."""
        self.values[node.output] = _Value(made, source.exponent, (*source.waiting, *layers))

    def _call(self, name: str, layer: QLayer, *inputs: fx.Node) -> fx.Node:
        layer.arch = self.arch
        layer.eval()
        own = self._free(name)
        self.root.add_module(own, layer)
        return self.graph.call_module(own, inputs)

    def _free(self, name: str) -> str:
        """An attribute's, after an operator's."""
        own = re.sub(r"\W+", "_", name).strip("_") or "layer"
        own = own if own.isidentifier() else f"layer_{own}"
        while hasattr(self.root, own):
            own += "_"
        return own

    def _set(self, node: fx.Node, step: int) -> None:
        layer: Any = self.root.get_submodule(str(node.target))
        layer.exponent = step


def _real(constant: _Constant) -> torch.Tensor:
    values = np.ldexp(constant.integers.astype(np.float64), constant.exponent)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
