"""Stage 3b: a convolution whose channels need steps of very different sizes becomes several, side by side.

The weights of a layer share one exponent, and its sums one unit. Where a few channels are far larger than the others, in weights or
in sums, hardly any steps are left to those. Each part has an exponent of its own; what the parts make is put side by side and in
order, which moves no byte (`codegen/schedule/bundles.py`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize.exponents import coarsest_exponent
from tvm_re2na.quantize.importance import Channels, Importance
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions, layer_of
from tvm_re2na.quantize.scales import is_average, is_sum, weight_exponent
from tvm_re2na.quantize.transposed import groups_of

Numbers = npt.NDArray[np.int64]

MOST = 3  # parts
AUDIBLE = 1e-3  # of noise over signal in the network's outputs: a layer that adds less stays whole
PAYS = 0.5  # of the noise, for each part more
ROOM = 2.0  # how much larger than those that were seen sums may be: about what headroom and images to come ask for
NONE = -1000  # in the place of an exponent, of a channel without weights


def split_layers(
    net: Net,
    layers: tuple[Layer, ...],
    largest: Mapping[str, Channels],
    arch: Architecture,
    options: QuantizeOptions,
    importance: Importance,
) -> None:
    """`largest`: by channel, of what the layers read and of their sums."""
    for layer in layers:
        if _may_be_split(net, layer):
            needed = needed_exponents(net, layer, largest, arch, options)
            parts = _parts(_noise_of_steps(net, layer, importance), needed)
            if len(parts) > 1:
                _replace(net, layer, parts)


def operators_of(names: Collection[str], known: Collection[str]) -> frozenset[str]:
    """Of parts, by which a report names them, the operators that they are parts of."""
    return frozenset(name if name in known else layer_of(name) for name in names)


def needed_exponents(
    net: Net, layer: Layer, largest: Mapping[str, Channels], arch: Architecture, options: QuantizeOptions
) -> Numbers:
    """The finest exponent that suits each channel's weights and under which its sums fit the accumulator, (O,)."""
    weights, data = options.weights_of(layer.name, arch), options.ranges(arch)[1]
    weight = net.constants[layer.node.inputs[1]]
    own = [weight_exponent(channel, weights, options.scales) if channel.any() else NONE for channel in weight]
    if options.guarantee is Guarantee.OFF:
        return np.array(own)
    e_x = coarsest_exponent(float(largest[layer.source].max()), data)
    units = np.ceil(np.log2(np.maximum(ROOM * largest[layer.sums] / arch.acc_max, 2.0**NONE)))
    return np.where(np.array(own) > NONE, np.maximum(own, units.astype(np.int64) - e_x), NONE)


def _may_be_split(net: Net, layer: Layer) -> bool:
    weight = net.constants[layer.node.inputs[1]]
    by_channel = groups_of(layer.node) == len(weight) and weight.shape[1] == 1
    plain = layer.node.op == "Conv" and (groups_of(layer.node) == 1 or by_channel)
    return plain and layer.node.name not in net.finer and not (is_sum(weight) or is_average(weight))


def _noise_of_steps(net: Net, layer: Layer, importance: Importance) -> Channels:
    """What weights that are rounded to whole numbers add to the outputs' noise over signal, by channel; with steps of 2**e it is
    4**e as much. The bias takes back what the inputs' means add."""
    weight, groups = net.constants[layer.node.inputs[1]], groups_of(layer.node)
    variance = importance.seen.variance[layer.source].reshape(groups, -1).sum(1)
    noise: Channels = np.repeat(variance, len(weight) // groups) * weight[0, 0].size / 12
    return noise * importance.of(layer.sums)


def _parts(noise: Channels, needed: Numbers) -> list[Numbers]:
    """Channels with an exponent in common, as many parts as pay."""
    levels = np.unique(needed)
    best, least = [np.arange(len(needed))], _noise([np.arange(len(needed))], noise, needed)
    for count in range(2, min(MOST, len(levels)) + 1):
        if least < AUDIBLE:
            break
        tried = [_between(needed, levels, edges) for edges in itertools.combinations(levels[1:], count - 1)]
        found = min(tried, key=lambda parts: _noise(parts, noise, needed))
        if _noise(found, noise, needed) < PAYS ** (count - len(best)) * least:
            best, least = found, _noise(found, noise, needed)
    return best


def _between(needed: Numbers, levels: Numbers, edges: tuple[int, ...]) -> list[Numbers]:
    ends = itertools.pairwise([levels[0], *edges, levels[-1] + 1])
    return [np.flatnonzero((needed >= low) & (needed < high)) for low, high in ends]


def _noise(parts: list[Numbers], noise: Channels, needed: Numbers) -> float:
    return sum(float(noise[part].sum() * 4.0 ** needed[part].max()) for part in parts)


def _replace(net: Net, layer: Layer, parts: list[Numbers]) -> None:
    """The layer and the activation behind it, by one of each for every part, and by what brings their results together."""
    node, activation, result = layer.node, net.producer(layer.result), layer.result
    made, nodes = [], []
    for number, part in enumerate(parts, 1):
        nodes += _part(net, node, f"{node.name}.part{number}", part)
        if activation is not None and activation is not node:
            nodes.append(_activation(net, activation, f"{activation.name}.part{number}", nodes[-1].output))
        made.append(nodes[-1].output)
    side, order = f"{result}.parts", np.argsort(np.concatenate(parts), kind="stable")
    numbers = net.add_constant(f"{node.name}.order", order.astype(np.int64))
    nodes.append(Node("Concat", f"{node.name}.parts", made, [side], {"axis": 1}))
    nodes.append(Node("Gather", f"{node.name}.order", [side, numbers], [result], {"axis": 1}))
    net.shapes[side] = net.shapes[result]
    place = net.nodes.index(node)
    net.nodes[place : place + 1] = nodes
    net.nodes = [other for other in net.nodes if other is not activation]


def _part(net: Net, node: Node, name: str, channels: Numbers) -> list[Node]:
    """The layer with these output channels alone; of a layer by channel they are those that it reads."""
    source, attributes, nodes = node.inputs[0], dict(node.attributes), []
    if groups_of(node) > 1:
        numbers, source = net.add_constant(f"{name}.channels", channels), f"{name}.source"
        nodes.append(Node("Gather", f"{name}.source", [node.inputs[0], numbers], [source], {"axis": 1}))
        net.shapes[source] = _of_channels(net.shapes[node.inputs[0]], len(channels))
        attributes["group"] = len(channels)
    weight, bias = (
        net.add_constant(f"{name}.{kind}", net.constants[constant][channels])
        for kind, constant in zip(("weight", "bias"), node.inputs[1:3], strict=True)
    )
    net.shapes[f"{name}.result"] = _of_channels(net.shapes[node.output], len(channels))
    return [*nodes, Node("Conv", name, [source, weight, bias], [f"{name}.result"], attributes)]


def _activation(net: Net, activation: Node, name: str, source: str) -> Node:
    made = copy.copy(activation)
    made.name, made.inputs, made.outputs = name, [source, *activation.inputs[1:]], [f"{name}.result"]
    net.bounds[name], net.shapes[made.output] = net.bounds[activation.name], net.shapes[source]
    return made


def _of_channels(shape: tuple[int | None, ...], channels: int) -> tuple[int | None, ...]:
    return shape[0], channels, *shape[2:]
