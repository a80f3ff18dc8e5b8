"""Block pruning of an ONNX model: the weights of a k-step that matter least to a block of output channels become zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper


def prune_convolutions(model: onnx.ModelProto, share: float, rows: int = 64) -> onnx.ModelProto:
    """A copy in which, for every block of `rows` output channels of each plain convolution, `share` of the k-steps (input channel
    and position in the kernel) with the smallest norms are zero: steps that the compiler drops."""
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    plain = {
        node.input[1]
        for node in pruned.graph.node
        if node.op_type == "Conv" and all(item.name != "group" or item.i == 1 for item in node.attribute)
    }
    for tensor in pruned.graph.initializer:
        if tensor.name in plain:
            weight = prune_blocks(numpy_helper.to_array(tensor).copy(), share, rows)
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return pruned


def prune_blocks(weight: npt.NDArray[np.float32], share: float, rows: int) -> npt.NDArray[np.float32]:
    """In place; weight (O, C, kh, kw)."""
    lines = weight.reshape(len(weight), -1)
    for start in range(0, len(lines), rows):
        block = lines[start : start + rows]
        norms = np.linalg.norm(block, axis=0)
        block[:, np.argsort(norms, kind="stable")[: int(share * len(norms))]] = 0
    return weight


def prune_weights(model: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """A copy in which `share` of each convolution's weights, the smallest, are zero, wherever they lie."""
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    names = {node.input[1] for node in pruned.graph.node if node.op_type == "Conv"}
    for tensor in pruned.graph.initializer:
        if tensor.name in names:
            weight = numpy_helper.to_array(tensor).copy()
            weight[np.abs(weight) < np.quantile(np.abs(weight), share)] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return pruned
