"""What layers cost where they are not quantised, or are quantised with more bits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from tvm_re2na.model_file import dimensions
from tvm_re2na.quantize.options import layer_of

LINEAR = ("Conv", "ConvTranspose", "Gemm")
ROLES = r"\.(parts|order)$"  # of what brings the parts of a layer together


@dataclass(frozen=True)
class LayerCost:
    """Of an image: multiply-accumulates; and how many weights there are."""

    macs: int
    weights: int


def layer_name(node: str) -> str:
    """The layer that a node of the quantised model is, or is a part of."""
    return re.sub(ROLES, "", layer_of(node))


def layer_costs(quantized: onnx.ModelProto) -> dict[str, LayerCost]:
    """Of the linear layers of a quantised model, by their names in the report, parts of one together."""
    graph = onnx.shape_inference.infer_shapes(quantized).graph
    shapes = {value.name: dimensions(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    sizes |= {node.output[0]: sizes[node.input[0]] for node in graph.node if _scales(node, sizes)}
    found: dict[str, LayerCost] = {}
    for node in graph.node:
        if node.op_type in LINEAR and len(node.input) > 1 and node.input[1] in sizes:
            own, name = _cost(node, sizes[node.input[1]], shapes), layer_name(node.name)
            before = found.get(name, LayerCost(0, 0))
            found[name] = LayerCost(before.macs + own.macs, before.weights + own.weights)
    return found


def _scales(node: onnx.NodeProto, sizes: Mapping[str, tuple[int, ...]]) -> bool:
    return node.op_type == "DequantizeLinear" and node.input[0] in sizes


def _cost(node: onnx.NodeProto, weight: tuple[int, ...], shapes: Mapping[str, tuple[int | None, ...]]) -> LayerCost:
    """Each output takes as many products as a channel has weights; of a transposed convolution, each input makes as many."""
    seen = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    pixels = math.prod(size or 1 for size in shapes.get(seen, ())[2:])
    count = math.prod(weight)
    return LayerCost(count * pixels, count)
