"""A QDQ model as sections between its tensors of integers: what reads integers, computes in float, and writes integers again."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from tvm_re2na.frontends.common.nodes import with_names
from tvm_re2na.onnx_form.inputs import own_inputs

Numbers = npt.NDArray[Any]
HALF = 0.5


@dataclass(frozen=True)
class Quantiser:
    """The QuantizeLinear at the end of a section; `low` and `high` are what its integers are kept within."""

    real: str  # its input, the float tensor
    scale: Numbers
    zero_point: Numbers
    axis: int
    low: float
    high: float

    def steps(self, values: Numbers) -> Numbers:
        """What `real` holds in steps of the integers, before it is rounded: float64, of the same shape."""
        shape = [1] * values.ndim
        if self.scale.ndim:
            shape[self.axis] = -1
        exact = values / self.scale.reshape(shape) + self.zero_point.reshape(shape)
        return np.clip(exact, self.low, self.high)


@dataclass(frozen=True)
class Section:
    """What computes a tensor of integers, or an output of the model in float (`integer` is False then).

    `nodes`: the operators between, in execution order. `quantiser`: None where its scale is no constant. `rounding`: how far, in
    steps, TVM's integers may be from the exact value, given that each of its roundings is to the nearest.
    """

    tensor: str
    integer: bool
    nodes: tuple[onnx.NodeProto, ...]
    quantiser: Quantiser | None
    rounding: float

    @property
    def written(self) -> str:
        """What `tensor` is called in the model apart, where ONNX Runtime computes it."""
        return written(self.tensor) if self.integer else self.tensor


def written(name: str) -> str:
    return f"{name} as ONNX Runtime has it"


class CutModel:
    """A QDQ model cut at its tensors of integers: those which a DequantizeLinear reads, and which depend on the input."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = with_names(model)
        self._graph = self.model.graph
        self._nodes = list(self._graph.node)
        self._makers = {name: index for index, node in enumerate(self._nodes) for name in node.output if name}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    @cached_property
    def integers(self) -> dict[str, int]:
        """The tensors at which the model is cut, in execution order, with their ONNX types."""
        read = {node.input[0] for node in self._nodes if node.op_type == "DequantizeLinear"}
        read |= {value.name for value in self._graph.output}
        ends = {name: self._end(name) for node in self._nodes for name in node.output if name in read & self._moving}
        return {name: self._kind(end) for name, end in ends.items() if end is not None}

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        outputs = [value.name for value in self._graph.output if value.name not in self.integers]
        return tuple(section for name in (*self.integers, *outputs) if (section := self._section(name)) is not None)

    @property
    def shown(self) -> list[str]:
        """The outputs of the model `exposed`."""
        return list(dict.fromkeys([*(value.name for value in self._graph.output), *self.integers]))

    def exposed(self) -> onnx.ModelProto:
        """The model with every tensor of integers as an output, behind its own outputs."""
        model = copy.deepcopy(self.model)
        own = {value.name for value in model.graph.output}
        known = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
        for name, kind in self.integers.items():
            if name not in own:
                plain = onnx.helper.make_tensor_value_info(name, kind, None)
                model.graph.output.append(known.get(name, plain))
        return model

    def apart(self, given: Collection[str] | None = None) -> onnx.ModelProto:
        """The model in which every tensor of integers is an input (or those that are `given`); what would write it writes
        `Section.written`.

        Its outputs are these, what each QuantizeLinear reads, and the model's own that are no integers.
        """
        model = copy.deepcopy(self.model)
        graph = model.graph
        graph.ClearField("value_info")
        kinds = {name: kind for name, kind in self.integers.items() if given is None or name in given}
        for node in graph.node:
            node.output[:] = [written(name) if name in kinds else name for name in node.output]
        graph.input.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items())
        reals = [section.quantiser.real for section in self.sections if section.quantiser is not None]
        writes = [
            name for each in self.sections if (name := each.written) != written(each.tensor) or each.tensor in kinds
        ]
        wanted = dict.fromkeys([*writes, *reals])
        graph.ClearField("output")
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        return model

    # ---- how integers are made

    def _end(self, name: str) -> int | None:
        """The QuantizeLinear that makes a tensor, a Clip of its integers in between (QCDQ) or not."""
        index = self._makers.get(name)
        if index is not None and self._nodes[index].op_type == "Clip":
            index = self._makers.get(self._nodes[index].input[0])
        return index if index is not None and self._nodes[index].op_type == "QuantizeLinear" else None

    def _kind(self, end: int) -> int:
        node = self._nodes[end]
        if len(node.input) > 2 and node.input[2] in self._constants:
            return int(self._constants[node.input[2]].data_type)
        return int(next((item.i for item in node.attribute if item.name == "output_dtype"), 0) or TensorProto.UINT8)

    def _quantiser(self, name: str) -> Quantiser | None:
        end = self._end(name)
        scale = None if end is None else self._number(end, 1)
        if end is None or scale is None:
            return None
        kind = onnx.helper.tensor_dtype_to_np_dtype(self._kind(end))
        low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
        if self._makers[name] != end:
            bounds = [self._number(self._makers[name], index) for index in (1, 2)]
            low = low if bounds[0] is None else max(low, float(bounds[0]))
            high = high if bounds[1] is None else min(high, float(bounds[1]))
        zero = self._number(end, 2)
        axis = next((item.i for item in self._nodes[end].attribute if item.name == "axis"), 1)
        real = self._nodes[end].input[0]
        return Quantiser(real, scale, np.zeros_like(scale) if zero is None else zero, axis, low, high)

    def _number(self, index: int, place: int) -> Numbers | None:
        """Input number `place` of a node if it is constant, as float64."""
        names = self._nodes[index].input
        tensor = self._constants.get(names[place]) if place < len(names) else None
        return None if tensor is None else numpy_helper.to_array(tensor).astype(np.float64)

    # ---- what computes them

    @cached_property
    def _moving(self) -> set[str]:
        """Every tensor that depends on an input of the model."""
        found = set(own_inputs(self.model))
        for node in self._nodes:
            if any(name in found for name in _read_by(node)):
                found.update(node.output)
        return found

    def _section(self, tensor: str) -> Section | None:
        """None of an output that is what a DequantizeLinear makes of integers, or an input as it is."""
        integer = tensor in self.integers
        ends = {self._end(tensor), self._makers[tensor]} if integer else set()
        inside: set[int] = set()
        waiting = [tensor]
        while waiting:
            index = self._makers.get(waiting.pop())
            if index is None or index in inside or self._dequantises(index):
                continue
            inside.add(index)
            waiting += [
                name for name in _read_by(self._nodes[index]) if name in self._moving and name not in self.integers
            ]
        nodes = [index for index in sorted(inside) if index not in ends]
        if not integer and not nodes:
            return None
        quantiser = self._quantiser(tensor) if integer else None
        found = tuple(self._nodes[index] for index in nodes)
        return Section(tensor, integer, found, quantiser, self._rounding(nodes, quantiser))

    def _dequantises(self, index: int) -> bool:
        node = self._nodes[index]
        return node.op_type == "DequantizeLinear" and node.input[0] in self.integers

    def _rounding(self, nodes: list[int], quantiser: Quantiser | None) -> float:
        """Half a step; of a quantised Add half a step for each operand that is rounded to the result's scale before it is added."""
        added = [self._nodes[index] for index in nodes if self._nodes[index].op_type == "Add"]
        if len(added) != 1 or quantiser is None or quantiser.scale.size != 1:
            return HALF
        makers = [self._makers.get(name) for name in added[0].input]
        if any(index is None or self._nodes[index].op_type != "DequantizeLinear" for index in makers):
            return HALF
        scales = [self._number(index, 1) for index in makers if index is not None]
        exact = [scale is not None and bool((scale % quantiser.scale == 0).all()) for scale in scales]
        return HALF * exact.count(False)


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Its inputs, and those that graphs within it take from outside."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read_by(inner)
