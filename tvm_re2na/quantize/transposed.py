"""Transposed convolutions in the quantiser: layers like others, whose weights are kept with the output channels first.

Such a layer is an ordinary convolution of its input with zeros between the pixels, by the kernel turned round. So are its samples
taken; the zeros exist for these alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.transposed import as_convolution
from tvm_re2na.quantize.net import Array, Net, Node
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.runtime.rows import ConvolutionWindow, gather


def is_transposed(node: Node) -> bool:
    return node.op == "ConvTranspose"


def groups_of(node: Node) -> int:
    return int(node.attributes.get("group", 1))


def weight_of(net: Net, node: Node) -> Array:
    """Of a linear layer, (O, ...)."""
    weight = net.constants[node.inputs[1]]
    return as_convolution(weight, groups_of(node)) if is_transposed(node) else weight


def as_stored(node: Node, weight: Array) -> Array:
    """(O, ...) as the ONNX node has it."""
    return as_convolution(weight, groups_of(node)) if is_transposed(node) else weight


def transposed_rows(node: Node, kernel: tuple[int, int], source: Int8Array, pixels: npt.NDArray[np.int64]) -> Int8Array:
    """(groups, N * P, K): what `pixels` (N, P) of the result see of `source` (N, C, H, W), in the order of a weight's (O, ...)."""
    strides, pads = node.attributes.get("strides", (1, 1)), node.attributes.get("pads", (0, 0, 0, 0))
    more = node.attributes.get("output_padding", (0, 0))
    images, channels, *image = source.shape
    places = [kernel[axis] - 1 - pads[axis] + strides[axis] * np.arange(size) for axis, size in enumerate(image)]
    sizes = [
        (size - 1) * strides[axis] + 2 * kernel[axis] - 1 - pads[axis] - pads[axis + 2] + more[axis]
        for axis, size in enumerate(image)
    ]
    there = [(place >= 0) & (place < size) for place, size in zip(places, sizes, strict=True)]
    spread = np.zeros((images, channels, *sizes), np.int8)
    spread[:, :, places[0][there[0]][:, None], places[1][there[1]]] = source[:, :, there[0]][..., there[1]]
    window = ConvolutionWindow(groups_of(node), kernel)
    rows = np.empty((window.groups, pixels.size, channels // window.groups * kernel[0] * kernel[1]), np.int8)
    gather(spread, pixels, window, rows)
    turned = rows.reshape(*rows.shape[:2], -1, *kernel)[..., ::-1, ::-1]
    return np.ascontiguousarray(turned).reshape(rows.shape)
