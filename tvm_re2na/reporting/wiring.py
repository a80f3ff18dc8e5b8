"""Who reads whom, and shapes: what the ONNX file tells of the operators that TVM names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.reporting.document import Shape


@dataclass(frozen=True)
class Wires:
    """Of one operator, as in `document.ReportLayer`."""

    reads: tuple[int, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    weight_shape: Shape | None = None
    output_shape: Shape | None = None


@dataclass
class Owners:
    """Places in the list of operators by the names of ONNX nodes; `inner`: nodes that are computed with an operator of another
    name, like the activation behind a convolution."""

    by_node: dict[str, int] = field(default_factory=dict)
    inner: dict[str, int] = field(default_factory=dict)


def wires_of(model: onnx.ModelProto, operators: Sequence[Explanation], batch: int) -> list[Wires]:
    """One per operator; empty for one that the file has no node for."""
    shapes = _shapes(model, batch)
    constant = {tensor.name for tensor in model.graph.initializer}
    nodes, found = owners_of(model, operators).by_node, [Wires()] * len(operators)
    made_by: dict[str, frozenset[int]] = {}
    for node in model.graph.node:
        inputs = [name for name in node.input if name]
        sources = frozenset[int]().union(*(made_by.get(name, frozenset()) for name in inputs))
        if all(name in constant for name in inputs):
            constant |= set(node.output)
        if node.name in nodes:
            place = nodes[node.name]
            found[place] = _wires(node, sources - {place}, constant, shapes)
            sources = frozenset({place})
        made_by |= dict.fromkeys(node.output, sources)
    return found


def owners_of(model: onnx.ModelProto, operators: Sequence[Explanation]) -> Owners:
    """Which operator each node is, or is computed with. A node without an operator of its own belongs to the only one that it
    reads; quantising and dequantising belong to none but themselves."""
    names = {operator.name: place for place, operator in enumerate(operators)}
    found = Owners({node.name: names[node.name] for node in model.graph.node if node.name in names})
    found.by_node |= _borders(model, operators, found.by_node)
    made_by: dict[str, frozenset[int]] = {}
    for node in model.graph.node:
        sources = frozenset[int]().union(*(made_by.get(name, frozenset()) for name in node.input))
        if node.name in found.by_node:
            sources = frozenset({found.by_node[node.name]})
        elif len(sources) == 1 and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            found.inner[node.name] = next(iter(sources))
        made_by |= dict.fromkeys(node.output, sources)
    return found


def _borders(model: onnx.ModelProto, operators: Sequence[Explanation], known: dict[str, int]) -> dict[str, int]:
    """A front end that drops the names of quantising and dequantising at the network's border keeps their order."""
    inputs, outputs = {value.name for value in model.graph.input}, {value.name for value in model.graph.output}
    rest = [place for place in range(len(operators)) if place not in known.values()]
    into = [node.name for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in inputs]
    out = [node.name for node in model.graph.node if node.op_type == "DequantizeLinear" and node.output[0] in outputs]
    first = [place for place in rest if operators[place].op.endswith("quantize") and not _back(operators[place])]
    last = [place for place in rest if _back(operators[place])]
    pairs = (*zip(into, first, strict=False), *zip(reversed(out), reversed(last), strict=False))
    return {name: place for name, place in pairs if name not in known}


def _back(operator: Explanation) -> bool:
    return operator.op.endswith("dequantize")


def _wires(node: onnx.NodeProto, reads: frozenset[int], constant: set[str], shapes: dict[str, Shape | None]) -> Wires:
    given = [shapes.get(name) for name in node.input if name and name not in constant]
    weights = [
        shape for shape in (shapes.get(name) for name in node.input if name in constant) if shape and len(shape) > 1
    ]
    return Wires(
        tuple(sorted(reads)),
        tuple(shape for shape in given if shape is not None),
        next(iter(weights), None),
        shapes.get(node.output[0]),
    )


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, Shape | None]:
    """Of every tensor; None where it stays open."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    for value in sized.graph.input:
        axes = value.type.tensor_type.shape.dim
        if axes and not axes[0].HasField("dim_value"):
            axes[0].dim_value = batch
    del sized.graph.value_info[:]  # they may say less than what follows now
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        graph = onnx.shape_inference.infer_shapes(sized).graph
    except (onnx.shape_inference.InferenceError, ValueError):  # beyond 2 GB, or operators that it does not know
        graph = sized.graph
    found: dict[str, Shape | None] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        found[value.name] = sizes if sizes and all(sizes) else None
    return found
