"""What the quantised network is held against: the float model, or the same network without its roundings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.batches import Batch, by_name
from tvm_re2na.onnx_form.inputs import own_inputs
from tvm_re2na.onnx_runtime import session
from tvm_re2na.opinion.sections import CutModel, Numbers, Section
from tvm_re2na.quantize.counterparts import Counterpart, read_counterparts
from tvm_re2na.quantize.net import FLOAT_OR_UNKNOWN

Floats = npt.NDArray[np.float32]
ONE = np.ones(1, np.float32)
ENDINGS = (".float", ".saturated", ".int8")  # what the quantiser's names have more than the float model's
IR_VERSION = 8  # from 4 on an initializer may be an input as well: one that need not be given


class Reference:
    """A float network whose tensors can be seen, and disturbed.

    `counterparts`: by a section's tensor, the float network's tensor and factors; a section without one has no entry.
    """

    def __init__(self, model: onnx.ModelProto, counterparts: Mapping[str, Counterpart]) -> None:
        self.counterparts = dict(counterparts)
        self.outputs = [value.name for value in model.graph.output]
        self._seen = list(dict.fromkeys(each.name for each in self.counterparts.values()))
        self._session = session(_open(model, self._seen).SerializeToString())
        self._inputs = list(own_inputs(model))

    def values(self, batch: Batch) -> tuple[dict[str, Floats], list[Floats]]:
        """By the sections' tensors what they would be without quantisation, in the quantised network's scales; and the outputs."""
        names = [*map(_shown, self._seen), *self.outputs]
        found = self._session.run(names, by_name(batch, self._inputs))
        known = dict(zip(self._seen, found, strict=False))
        return (
            {tensor: each.scaled(known[each.name]) for tensor, each in self.counterparts.items()},
            found[len(self._seen) :],
        )

    def disturbed(self, batch: Batch, tensor: str, noise: Numbers) -> list[Floats]:
        """The outputs where a section's tensor is off by `noise`, in the quantised network's scale, and nothing else is."""
        each = self.counterparts[tensor]
        given = (noise / each.along(noise.ndim)).astype(np.float32)
        found: list[Floats] = self._session.run(
            self.outputs, {**by_name(batch, self._inputs), _noise(each.name): given}
        )
        return found


@dataclass(frozen=True)
class ReferenceNames:
    """How tensors of a float model are found: by name, or as the quantiser noted it."""

    tensors: frozenset[str]
    notes: Mapping[str, Counterpart | None]

    def of(self, section: Section) -> Counterpart | None:
        names = [section.tensor, *(node.output[0] for node in reversed(section.nodes[-1:]))]
        if section.quantiser is not None:
            names.insert(0, section.quantiser.real)
        for name in dict.fromkeys(base for full in names for base in (full, _without_ending(full))):
            if name in self.notes:
                return self.notes[name]
            if name in self.tensors:
                return Counterpart(name, ONE)
        return None


def float_reference(cut: CutModel, model: onnx.ModelProto) -> Reference:
    """The float model that the quantised one was made of; tensors are found by their names, or as the quantiser has noted."""
    known = {*own_inputs(model), *(name for node in model.graph.node for name in node.output if name)} - _no_floats(
        model
    )
    names = ReferenceNames(frozenset(known), read_counterparts(cut.model))
    found = {section.tensor: names.of(section) for section in cut.sections}
    return Reference(model, {tensor: each for tensor, each in found.items() if each is not None and each.name in known})


def unrounded_reference(cut: CutModel) -> Reference:
    """The quantised network without the roundings of what it computes: its weights are those of the file."""
    model = copy.deepcopy(cut.model)
    model.graph.ClearField("value_info")
    moving = {name for section in cut.sections if section.integer for name in _chain(section, cut)}
    for node in model.graph.node:
        ends = node.op_type == "DequantizeLinear" and node.input[0] in moving
        if ends or (node.output[0] in moving and node.op_type in ("QuantizeLinear", "Clip")):
            node.op_type, node.input[:] = "Identity", node.input[:1]
            node.ClearField("attribute")
    for value in model.graph.output:
        if value.name in moving:
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, None))
    others = _no_floats(cut.model) - set(cut.integers)
    found = (section.tensor for section in cut.sections if section.tensor not in others)
    return Reference(model, {tensor: Counterpart(tensor, ONE) for tensor in found})


def _no_floats(model: onnx.ModelProto) -> set[str]:
    """Tensors that are known to be of another type than float32."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name for value in values if value.type.tensor_type.elem_type not in FLOAT_OR_UNKNOWN}


def _chain(section: Section, cut: CutModel) -> set[str]:
    """The integers of a section, and those before a Clip of them."""
    makers = {node.output[0]: node for node in cut.model.graph.node}
    found = {section.tensor}
    if makers[section.tensor].op_type == "Clip":
        found.add(makers[section.tensor].input[0])
    return found


def _without_ending(name: str) -> str:
    """Of what is saturated before it is quantised, both endings."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name.removesuffix(ENDINGS[0])


def _open(model: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """Of each of these tensors a copy is an output, and what reads it reads it with something added, which is 0 unless it is given.

    An output of the model is what it was, with that added.
    """
    opened = copy.deepcopy(model)
    opened.ir_version = max(opened.ir_version, IR_VERSION)
    graph = opened.graph
    graph.ClearField("value_info")
    wanted, inputs = set(tensors), set(own_inputs(model))
    for node in graph.node:
        node.input[:] = [_read(name) if name in wanted & inputs else name for name in node.input]
        node.output[:] = [_shown(name) if name in wanted else name for name in node.output]
    nodes = [_added(name, inputs) for name in tensors if name in inputs]
    for node in list(graph.node):
        made = [name.removesuffix(SHOWN) for name in node.output if name.endswith(SHOWN)]
        nodes += [node, *(_added(name, inputs) for name in made if name in wanted)]
    nodes += [onnx.helper.make_node("Identity", [name], [_shown(name)]) for name in tensors if name in inputs]
    graph.ClearField("node")
    graph.node.extend(nodes)
    for name in tensors:
        graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((), np.float32), _noise(name)))
        graph.input.append(onnx.helper.make_tensor_value_info(_noise(name), onnx.TensorProto.FLOAT, None))
        graph.output.append(onnx.ValueInfoProto(name=_shown(name)))
    return opened


SHOWN = " as it is"


def _shown(name: str) -> str:
    return f"{name}{SHOWN}"


def _noise(name: str) -> str:
    return f"what is added to {name}"


def _read(name: str) -> str:
    return f"{name} and what is added"


def _added(name: str, inputs: set[str]) -> onnx.NodeProto:
    source, result = (name, _read(name)) if name in inputs else (_shown(name), name)
    return onnx.helper.make_node("Add", [source, _noise(name)], [result])
