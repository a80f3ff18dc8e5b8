"""The names of an ONNX model's nodes, from which operators have theirs."""

from __future__ import annotations

import copy

import onnx

from tvm_re2na.codegen.offload.names import node_names
from tvm_re2na.frontends.common.moving import MOVING
from tvm_re2na.frontends.common.pairs import PAIRS

# operators that may have a scale of their own, by their names in either TVM, and the ONNX nodes that become one of them
SCALED = {
    "nn.conv2d": ("Conv",),
    "nn.conv2d_transpose": ("ConvTranspose",),
    "nn.dense": ("Gemm", "MatMul"),
    "matmul": ("Gemm", "MatMul"),
    **{pair.name: pair.nodes for pair in PAIRS.values()},
}
JOINED = {"concatenate": ("Concat",), "concat": ("Concat",)}
# the same with those that leave the scale alone
NODES = {**SCALED, **JOINED, **{op: kinds for moving in MOVING.values() for op, kinds in moving.nodes.items()}}


def node_names_of(model: onnx.ModelProto) -> list[str]:
    """Of every node in the model's order; those without a name are named by `node_names`."""
    return node_names((node.op_type, node.name) for node in model.graph.node)


def with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or where nodes have no name, a copy in which they have."""
    if all(node.name for node in model.graph.node):
        return model
    named = copy.deepcopy(model)
    for node, name in zip(named.graph.node, node_names_of(model), strict=True):
        node.name = name
    return named
