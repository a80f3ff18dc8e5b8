"""Stage 3b, on a machine whose array cuts by channel: a convolution's weights have an exponent for each output channel.

The layer becomes one whose channels are equally large, and a product that takes this back. All that follows sees weights of one
exponent and sums of one unit; the product is part of the cut, and in the file of the weights' scales.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize.importance import Channels
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.options import QuantizeOptions
from tvm_re2na.quantize.parts import NONE, Numbers, needed_exponents
from tvm_re2na.quantize.scales import is_average, is_sum

MOST = 6  # steps that a channel is finer than another at most: as many bits more are cut off its sums


def scale_channels(
    net: Net, layers: tuple[Layer, ...], largest: Mapping[str, Channels], arch: Architecture, options: QuantizeOptions
) -> None:
    """`largest`: see `needed_exponents`. Notes in `net.finer` what the layers' channels were scaled by."""
    for layer in layers:
        weight = net.constants[layer.node.inputs[1]]
        if layer.node.op == "Conv" and not (is_sum(weight) or is_average(weight)):
            finer = _finer(needed_exponents(net, layer, largest, arch, options))
            if any(finer):
                _scale(net, layer.node, finer)


def _finer(needed: Numbers) -> tuple[int, ...]:
    """By how many steps each channel's own exponent is finer than that of the coarsest; 0 of a channel without weights."""
    top = int(needed.max())
    return tuple(0 if own == NONE else min(top - int(own), MOST) for own in needed)


def _scale(net: Net, node: Node, finer: tuple[int, ...]) -> None:
    weight, bias = (net.constants[name] for name in node.inputs[1:3])
    steps = np.array(finer)
    result, sums = node.output, f"{node.output}.by_channel"
    node.inputs = [
        node.inputs[0],
        net.add_constant(f"{node.name}.weight", np.ldexp(weight, steps.reshape(-1, 1, 1, 1)).astype(np.float32)),
        net.add_constant(f"{node.name}.bias", np.ldexp(bias, steps).astype(np.float32)),
    ]
    node.outputs = [sums]
    net.shapes[sums] = net.shapes[result]
    factors = net.add_constant(f"{node.name}.steps", np.ldexp(np.float32(1), -steps).reshape(1, -1, 1, 1))
    net.nodes.insert(net.nodes.index(node) + 1, Node("Mul", _product_name(node.name), [sums, factors], [result]))
    net.finer[node.name] = finer


def _product_name(layer: str) -> str:
    return f"{layer}.by_channel"


def take_scaling_back(net: Net, layers: tuple[Layer, ...]) -> None:
    """Without the products behind these layers, which make their results then: the scales of the weights say the same."""
    products = {node.name: node for node in net.nodes}
    made = {layer.name: products.pop(_product_name(layer.name)).outputs for layer in layers if layer.finer}
    net.nodes = [node for node in net.nodes if node.name in products]
    for node in net.nodes:
        node.outputs = made.get(node.name, node.outputs)
