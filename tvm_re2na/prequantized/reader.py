"""What is known of a pre-quantised model while its operators are read, and the float network that grows meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tvm_re2na.codegen.arithmetic import compose
from tvm_re2na.prequantized.encoding import Encoding, encoding
from tvm_re2na.prequantized.errors import PrequantizedError
from tvm_re2na.quantize.net import Array, Net, Node

# integers go through these as they are: results keep the encoding and the range of the first operand
PASSING = ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Slice", "Dropout")
RealRange = tuple[float, float]


@dataclass(frozen=True)
class QuantisedTensor:
    """A tensor that the model quantises: its name there, the float tensor that takes its place, and how it was encoded."""

    name: str
    tensor: str
    encoding: Encoding


@dataclass
class Reader:
    """What is known while the model is read: `alias` maps a tensor of it to the float tensor or constant in its place."""

    net: Net
    nodes: list[Node] = field(default_factory=list)
    alias: dict[str, str] = field(default_factory=dict)
    # of integer tensors, and of constants that were integers
    encodings: dict[str, Encoding] = field(default_factory=dict)
    ranges: dict[str, RealRange] = field(default_factory=dict)  # of float tensors
    activations: list[QuantisedTensor] = field(default_factory=list)

    def now(self, name: str) -> str:
        return self.alias.get(name, name)

    def constant(self, node: Node, index: int) -> Array | None:
        return self.net.constants.get(self.now(node.inputs[index])) if len(node.inputs) > index else None

    def encoding_at(self, node: Node, scale: int, like: Array | None = None, axis: int = 1) -> Encoding:
        """Of inputs `scale` and `scale + 1` of a node; the integers' type is the zero point's, or that of `like`, or uint8."""
        zero = self.constant(node, scale + 1)
        typed = zero if zero is not None else like
        kind = str(typed.dtype) if typed is not None else "uint8"
        return encoding(f"{node.op} {node.name}", self.constant(node, scale), zero, kind, axis)

    def real_constant(self, node: Node, index: int, how: Encoding) -> str:
        """The constant integers of an input as a new float constant."""
        integers = self.constant(node, index)
        if integers is None:
            raise PrequantizedError(f"{node.op} {node.name}: its input {index} is computed, expected a constant")
        name = self.net.add_constant(f"{node.inputs[index]}.real", how.to_real(integers))
        self.encodings[name] = how
        return name

    def emit(self, op: str, name: str, inputs: list[str], output: str, **attributes: object) -> None:
        self.nodes.append(Node(op, name, inputs, [output], dict(attributes)))

    def integer_result(self, node: Node, raw: str, how: Encoding, label: str) -> None:
        """`raw`, a float tensor, saturated as the integers of `node`'s result are."""
        how = how.within(self.ranges.get(raw, (-math.inf, math.inf)))
        self.encodings[node.output] = how
        self.alias[node.output] = self.saturated(raw, node.output, how)
        self.activations.append(QuantisedTensor(label, self.alias[node.output], how))

    def saturated(self, raw: str, result: str, how: Encoding) -> str:
        """The tensor that keeps to the range of an encoding: `raw` itself where it does already."""
        if raw in self.net.input_names or not how.per_tensor:
            return raw
        old, new = self.ranges.get(raw, (-math.inf, math.inf)), how.bounds
        if new[0] <= old[0] and old[1] <= new[1]:
            return raw
        return self.clip(raw, result, new)

    def clip(self, raw: str, result: str, bounds: RealRange) -> str:
        """A Clip; one that follows another, which nothing else reads, takes its place."""
        last = next((node for node in self.nodes if node.output == raw), None)
        if last is not None and last.op in ("Relu", "Clip") and raw in self.ranges and self._read_once(raw):
            bounds = compose(self.ranges[raw], bounds)
            self.nodes.remove(last)
            raw = last.inputs[0]
        names = [
            self.net.add_constant(f"{result}.{side}", np.array(bound, np.float32))
            for side, bound in zip(("low", "high"), bounds, strict=True)
        ]
        self.emit("Clip", f"{result}.range", [raw, *names], result)
        self.ranges[result] = bounds
        return result

    def _read_once(self, name: str) -> bool:
        readers = [node for node in self.net.nodes if name in map(self.now, node.inputs)]
        return len(readers) <= 1 and name not in self.net.output_names
