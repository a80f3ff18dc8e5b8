"""A small mutable view of an ONNX graph: what the quantiser's passes work on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tvm_re2na.model_error import first_line
from tvm_re2na.model_file import dimensions
from tvm_re2na.quantize.errors import QuantizeError

Array = npt.NDArray[Any]


@dataclass
class Node:
    """One operator. Absent optional inputs are empty names."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""

    @property
    def output(self) -> str:
        return self.outputs[0]


@dataclass
class Net:
    """Nodes in topological order; `constants` by name; `inputs` and `outputs` as the ONNX file declares them.

    `integers`: computed tensors of another type than float32, which are no data to quantise.
    `bounds`: (low, high) of each Relu and of each Clip with constant bounds, by node name; infinite where there is none.
    `finer`: by name of a convolution whose channels have exponents of their own, the steps that each is finer (`channels.py`).
    """

    name: str
    nodes: list[Node]
    constants: dict[str, Array]
    inputs: list[onnx.ValueInfoProto]
    outputs: list[onnx.ValueInfoProto]
    opsets: list[onnx.OperatorSetIdProto]
    shapes: dict[str, tuple[int | None, ...]]
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    finer: dict[str, tuple[int, ...]] = field(default_factory=dict)
    integers: frozenset[str] = frozenset()

    @property
    def output_names(self) -> list[str]:
        return [value.name for value in self.outputs]

    @property
    def input_names(self) -> list[str]:
        return [value.name for value in self.inputs]

    @property
    def input_name(self) -> str:
        """Of a network with one input."""
        return self.input_names[0]

    @property
    def batch(self) -> int | None:
        """What the file fixes; None where it is open."""
        return next((size for name in self.input_names if (size := self.shapes[name][0]) is not None), None)

    def copied(self) -> Net:
        """A Net of its own that shares the constants' values."""
        made = copy.copy(self)
        made.constants, made.bounds, made.outputs = dict(self.constants), dict(self.bounds), list(self.outputs)
        made.nodes = [copy.copy(node) for node in self.nodes]
        for node in made.nodes:
            node.inputs, node.outputs, node.attributes = list(node.inputs), list(node.outputs), dict(node.attributes)
        return made

    def consumers(self, tensor: str) -> list[Node]:
        return [node for node in self.nodes if tensor in node.inputs]

    def producer(self, tensor: str) -> Node | None:
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def only_consumer(self, tensor: str) -> Node | None:
        """The one node that reads `tensor`, if it is no output of the model and nothing else reads it."""
        consumers = self.consumers(tensor)
        return consumers[0] if len(consumers) == 1 and tensor not in self.output_names else None

    def constant(self, node: Node, index: int) -> Array | None:
        """Input number `index` if it is there and constant."""
        return self.constants.get(node.inputs[index]) if len(node.inputs) > index else None

    def add_constant(self, name: str, value: Array) -> str:
        """Add under a name that is free; returns the name."""
        free = name
        while free in self.constants:
            free += "_"
        self.constants[free] = value
        return free

    def remove(self, node: Node) -> None:
        """Take out a node that passes its first input on; consumers read that input instead."""
        source, target = node.inputs[0], node.output
        self.nodes = [other for other in self.nodes if other is not node]
        if target in self.output_names:
            self._rename_producer(source, target)
            return
        for other in self.nodes:
            other.inputs = [source if name == target else name for name in other.inputs]

    def _rename_producer(self, old: str, new: str) -> None:
        for node in self.nodes:
            node.outputs = [new if name == old else name for name in node.outputs]
            node.inputs = [new if name == old else name for name in node.inputs]
        if old in self.shapes:
            self.shapes[new] = self.shapes[old]

    def activations(self) -> Iterator[str]:
        """Every tensor that is computed, the inputs first."""
        yield from self.input_names
        for node in self.nodes:
            yield from (name for name in node.outputs if name)


def from_onnx(model: onnx.ModelProto) -> Net:
    """Constants come from initializers and Constant nodes; nodes without a name get one."""
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes: list[Node] = []
    for index, proto in enumerate(graph.node):
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}
        if proto.op_type == "Constant" and "value" in attributes:
            constants[proto.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        name = proto.name or f"{proto.op_type.lower()}_{index}"
        nodes.append(Node(proto.op_type, name, list(proto.input), list(proto.output), attributes, proto.domain))
    inputs = [value for value in graph.input if value.name not in constants]
    values = _inferred(model)
    shapes = {value.name: dimensions(value) for value in values}
    integers = frozenset(value.name for value in values if value.type.tensor_type.elem_type not in FLOAT_OR_UNKNOWN)
    opsets = list(model.opset_import)
    return Net(graph.name, nodes, constants, inputs, list(graph.output), opsets, shapes, integers=integers)


def to_onnx(net: Net, extra_outputs: list[str] | None = None) -> onnx.ModelProto:
    """A model with only the constants that are used. `extra_outputs` are float tensors to be observed."""
    used = {name for node in net.nodes for name in node.inputs} | set(net.output_names)
    initializers = [
        numpy_helper.from_array(np.asarray(value, order="C"), name)
        for name, value in net.constants.items()
        if name in used
    ]
    protos = [
        onnx.helper.make_node(node.op, node.inputs, node.outputs, node.name, domain=node.domain, **node.attributes)
        for node in net.nodes
    ]
    declared = {*net.output_names, *net.input_names}
    observed = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in extra_outputs or []
        if name not in declared
    ]
    graph = onnx.helper.make_graph(protos, net.name, net.inputs, [*net.outputs, *observed], initializers)
    model = onnx.helper.make_model(graph, producer_name="tvm_re2na", opset_imports=net.opsets)
    model.ir_version = 8
    return model


def _inferred(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What is known of tensors; what stands later counts."""
    bare = copy.deepcopy(model)
    bare.graph.ClearField("value_info")  # what follows from the operators counts, not what the file says of it
    _tell_kernels(bare.graph)
    try:
        inferred = onnx.shape_inference.infer_shapes(bare)
    except Exception as error:  # InferenceError, and whatever an operator's own inference raises
        raise QuantizeError(f"shapes do not fit together ({first_line(error)})") from error
    found = inferred.graph
    return [*model.graph.value_info, *found.value_info, *found.input, *found.output]


FLOAT_OR_UNKNOWN = (onnx.TensorProto.FLOAT, onnx.TensorProto.UNDEFINED)
WEIGHT_OF = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}
SAME_SHAPE = ("DequantizeLinear", "QuantizeLinear", "Quant", "BipolarQuant", "Clip", "Cast", "Identity")


def _tell_kernels(graph: onnx.GraphProto) -> None:
    """Kernels that follow from the weights become attributes: ONNX 1.18 reads out of bounds where a weight has more dimensions than
    its input, but compares an attribute with it."""
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    for node in graph.node:
        known = [shapes.get(name, []) for name in node.input]
        if node.op_type in SAME_SHAPE and known and known[0] and node.output:
            shapes[node.output[0]] = known[0]
        index = WEIGHT_OF.get(node.op_type, len(known))
        told = any(item.name == "kernel_shape" for item in node.attribute)
        if index < len(known) and len(known[index]) > 2 and not told:
            node.attribute.append(onnx.helper.make_attribute("kernel_shape", known[index][2:]))
