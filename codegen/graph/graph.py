"""The accelerator graph: typed operators in execution order, with one printer and one verifier.

Every front end lowers to this; the compiler knows nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.ops import Cut, GraphError, Op, Shape, Window


@dataclass(frozen=True)
class Graph:
    """Operators in execution order. `inputs` and `outputs` name tensors; `shapes` gives the shape of every tensor."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[Op, ...]
    shapes: dict[str, Shape] = field(default_factory=dict)

    def consumers(self, tensor: str) -> list[Op]:
        return [op for op in self.ops if tensor in op.inputs]

    def producer(self, tensor: str) -> Op | None:
        return next((op for op in self.ops if op.output == tensor), None)

    def input_shapes(self, op: Op) -> list[Shape]:
        return [self.shapes[name] for name in op.inputs]

    def macs(self, op: Op) -> int:
        return op.macs(self.input_shapes(op))

    def verify(self, arch: Architecture) -> None:
        """Raise GraphError where a name, a shape or an attribute is wrong."""
        known = set(self.inputs)
        for name, shape in self.shapes.items():
            if len(shape) not in (2, 4) or min(shape) < 1:
                raise GraphError(f"tensor {name}: shape {shape} is neither (N, C, H, W) nor (N, C) with sizes >= 1")
        for op in self.ops:
            missing = [name for name in op.inputs if name not in known]
            if missing or op.output in known:
                raise GraphError(
                    f"{op.name}: reads undefined {missing}" if missing else f"{op.name}: redefines {op.output}"
                )
            if op.infer(self.input_shapes(op)) != self.shapes[op.output]:
                raise GraphError(f"{op.name}: {op.output} is declared {self.shapes[op.output]}, inferred otherwise")
            op.check(arch)
            known.add(op.output)
        for name in self.outputs:
            if name not in known:
                raise GraphError(f"output {name} is never defined")

    def __str__(self) -> str:
        """One line per tensor and operator; the only printed form."""
        lines = [f"graph {self.name}"]
        lines += [f"  input  {name}: {_shape(self.shapes[name])}" for name in self.inputs]
        lines += [f"  {_line(op)} -> {op.output}: {_shape(self.shapes[op.output])}" for op in self.ops]
        lines += [f"  output {name}: {_shape(self.shapes[name])}" for name in self.outputs]
        return "\n".join(lines) + "\n"


class GraphBuilder:
    """Appends operators and infers shapes as it goes; names of tensors are made unique."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inputs: list[str] = []
        self._ops: list[Op] = []
        self._shapes: dict[str, Shape] = {}

    def input(self, name: str, shape: Shape) -> str:
        self._inputs.append(name)
        self._shapes[name] = tuple(shape)
        return name

    def append(self, op: Op) -> str:
        """Add `op`, whose inputs must be defined; returns its output's name. Raises GraphError on a shape it cannot take."""
        if op.output in self._shapes:
            raise GraphError(f"{op.name}: redefines {op.output}")
        self._shapes[op.output] = op.infer([self._shapes[name] for name in op.inputs])
        self._ops.append(op)
        return op.output

    def shape(self, tensor: str) -> Shape:
        return self._shapes[tensor]

    def build(self, outputs: tuple[str, ...] | list[str]) -> Graph:
        return Graph(self._name, tuple(self._inputs), tuple(outputs), tuple(self._ops), dict(self._shapes))


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _line(op: Op) -> str:
    attributes = [f"{item.name}={_text(getattr(op, item.name))}" for item in fields(op)[3:]]
    return f"{op.kind:<10} {op.name} ({', '.join(op.inputs)}) {' '.join(attributes)}".rstrip()


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}[{_shape(value.shape)}]"
    if isinstance(value, Cut):
        return f"[lsb {','.join(map(str, value.all_lsbs))}, {value.lo}..{value.hi}]"
    if isinstance(value, Window):
        return f"[{_shape(value.kernel)} s{_shape(value.stride)} p{_shape(value.padding)} d{_shape(value.dilation)}]"
    return str(value).replace(" ", "")
