"""Stage 4a: which operators stay in float, because the user says so or because nothing is won by integers there."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from tvm_re2na.progress import silent
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.layers import Layer, QuantisedLayers, data_inputs, has_same_exponent, is_addition, is_product
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.observe import extremes, observe

UNEVEN = 3  # times as large: at least one bit less for the smaller one


def check_names(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Raises QuantizeError for a name that no operator has; `known` are theirs."""
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, sorted(known), 3)
        hint = f"near: {', '.join(near)}" if near else f"it has {len(known):,}"
        raise QuantizeError(f"{option}: '{name}' is no operator of the model ({hint})")


def behind(net: Net, names: Collection[str]) -> set[str]:
    """These operators and all that compute with what they make."""
    found, tensors = set(names), set[str]()
    for node in net.nodes:
        if node.name in found or not tensors.isdisjoint(node.inputs):
            found.add(node.name)
            tensors.update(name for name in node.outputs if name)
    return found


def without_images(net: Net, layers: Collection[Layer], images: Calibration) -> set[str]:
    """Layers whose first axis is not that of the images, as where a transformer has the sequence first: nothing says which of their
    rows belong to which image."""
    first = images[: net.batch or 2]
    names = [layer.sums for layer in layers]
    sizes = {name: len(sums) for name, sums in next(observe(net, names, first, silent, "")).items()} if names else {}
    return {layer.name for layer in layers if sizes[layer.sums] != len(first)}


def postprocessing(net: Net, quantised: QuantisedLayers, images: Calibration) -> set[str]:
    """Operators behind the last linear layers that read what was computed in float: boxes that were decoded there are not quantised
    once more to be concatenated with scores, all with one exponent. Nor are boxes and scores as the last layers make them, where
    one exponent would take bits from some of them."""
    linear = {layer.name for layer in quantised.layers}
    scaled = {layer.sums for layer in quantised.layers if layer.finer}
    ahead = _before(net, linear)
    uneven = _uneven(net, [node for node in net.nodes if node.op == "Concat" and node.name not in ahead], images)
    integers, found = set(net.input_names), set[str]()
    for node in net.nodes:
        if node.name in linear or (node.inputs and node.inputs[0] in scaled):
            integers.update(node.outputs)
        elif has_same_exponent(node) or is_addition(net, node) or is_product(net, node):
            if node.name in ahead or (integers.issuperset(data_inputs(net, node)) and node.name not in uneven):
                integers.update(node.outputs)
            else:
                found.add(node.name)
    return found


def _uneven(net: Net, nodes: Sequence[Node], images: Calibration) -> set[str]:
    """Of these, whose operands have ranges of very different sizes."""
    names = sorted({name for node in nodes for name in node.inputs if name not in net.constants})
    seen = extremes(net, names, images, silent, "")
    found = set[str]()
    for node in nodes:
        sizes = [seen.magnitude(name) for name in node.inputs if name in seen.low]
        if max(sizes, default=0.0) > UNEVEN * min(sizes, default=0.0):
            found.add(node.name)
    return found


def _before(net: Net, names: Collection[str]) -> set[str]:
    """The operators on whose results these compute."""
    found, tensors = set[str](), set[str]()
    for node in reversed(net.nodes):
        if node.name in names or not tensors.isdisjoint(node.outputs):
            found.add(node.name)
            tensors.update(node.inputs)
    return found
