"""Stage 3: average pooling in the exact form.

The mean of n values is no integer operation unless n is a power of two. The sum is: a depthwise convolution with weights 1. The
factor 1 / n moves into the float weights of the linear layer behind it, before those are quantised. Where no linear layer
takes the factor, the pooling stays as it was.
"""

from __future__ import annotations

import numpy as np

from tvm_re2na.quantize.fold import has_explicit_padding, is_linear
from tvm_re2na.quantize.net import Net, Node

HOMOGENEOUS = ("Flatten", "Reshape", "Relu", "MaxPool", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")


def pools_to_sums(net: Net) -> None:
    """Rewrite every pooling that has an exact form."""
    for node in list(net.nodes):
        window = _window(net, node)
        if window is None:
            continue
        kernel, strides, pads = window
        count = kernel[0] * kernel[1]
        if count == 1 and strides == [1, 1] and not any(pads):
            net.remove(node)
            continue
        takers = _takers(net, node.output)
        if takers is not None and _channels(net, node) is not None:
            _to_sum(net, node, kernel, strides, pads)
            for taker in takers:
                scaled = net.constants[taker.inputs[1]] / np.float32(count)
                taker.inputs[1] = net.add_constant(f"{taker.name}.weight", scaled.astype(np.float32))


def _window(net: Net, node: Node) -> tuple[list[int], list[int], list[int]] | None:
    """Kernel, strides and pads of an average over a constant number of values; None for anything else."""
    image = net.shapes.get(node.inputs[0], ()) if node.inputs else ()
    if len(image) != 4 or not has_explicit_padding(node):
        return None
    whole = [size or 0 for size in image[2:]]
    if node.op == "GlobalAveragePool" or (node.op == "ReduceMean" and _reduces_image(net, node)):
        return (whole, [1, 1], [0, 0, 0, 0]) if min(whole) > 0 else None
    if (
        node.op != "AveragePool"
        or node.attributes.get("ceil_mode", 0)
        or any(d != 1 for d in node.attributes.get("dilations", [1]))
    ):
        return None
    pads = list(node.attributes.get("pads", [0, 0, 0, 0]))
    if any(pads) and not node.attributes.get("count_include_pad", 0):
        return None
    return list(node.attributes["kernel_shape"]), list(node.attributes.get("strides", [1, 1])), pads


def _reduces_image(net: Net, node: Node) -> bool:
    axes = node.attributes.get("axes")
    if axes is None:
        constant = net.constant(node, 1)
        axes = constant.tolist() if constant is not None else []
    return sorted(axis % 4 for axis in axes) == [2, 3] and bool(node.attributes.get("keepdims", 1))


def _takers(net: Net, tensor: str) -> list[Node] | None:
    """The linear layers that see `tensor` through operators with f(a x) = a f(x); None if anything else sees it."""
    if tensor in net.output_names:
        return None
    takers: list[Node] = []
    for node in net.consumers(tensor):
        if is_linear(net, node) and node.inputs[0] == tensor:
            takers.append(node)
        elif node.op in HOMOGENEOUS and node.inputs[0] == tensor:
            behind = _takers(net, node.output)
            if behind is None:
                return None
            takers += behind
        else:
            return None
    return takers or None


def _channels(net: Net, node: Node) -> int | None:
    return net.shapes[node.inputs[0]][1]


def _to_sum(net: Net, node: Node, kernel: list[int], strides: list[int], pads: list[int]) -> None:
    channels = _channels(net, node) or 0
    ones = net.add_constant(f"{node.name}.ones", np.ones((channels, 1, *kernel), np.float32))
    bias = net.add_constant(f"{node.name}.bias", np.zeros(channels, np.float32))
    node.op, node.inputs = "Conv", [node.inputs[0], ones, bias]
    node.attributes = {"group": channels, "kernel_shape": kernel, "strides": strides, "pads": pads}
