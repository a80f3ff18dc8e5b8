"""Stage 4: which tensors are quantised, and which share an exponent.

A linear layer, an addition or a product with the activation behind it is one layer: what lies between the two is a sum in the
accumulator and is never quantised. Operators that only move or select values keep the exponent of what they read; an addition
needs one exponent on both sides, because the hardware (and TVM) would otherwise round each operand first. A product by one factor
for each channel is cut as sums are: each operand and the result has an exponent of its own. Functions of single numbers stay in
float (`functions.py`); what they begin and end with has exponents of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tvm_re2na.quantize.fold import is_linear
from tvm_re2na.quantize.functions import find_functions
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.pads import feeds_maxima, is_number, padding_value

MOVING = (
    *("MaxPool", "Flatten", "Reshape", "Transpose", "Pad", "Squeeze", "Unsqueeze", "Slice", "Gather"),
    *("DepthToSpace", "SpaceToDepth"),
)
EXTREMA = ("Max", "Min")
SAME_EXPONENT = (*MOVING, *EXTREMA, "Concat", "Relu", "Clip")


@dataclass(frozen=True)
class Layer:
    """A linear layer: `sums` is its raw output, `result` the tensor behind the activation. `finer`: by how many steps each
    channel's weights are finer than the layer's exponent says, where they have exponents of their own."""

    node: Node
    source: str
    sums: str
    result: str
    finer: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True)
class Product:
    """Of two tensors, one of which has one number for each image and channel; `result` is the tensor behind the activation."""

    operands: tuple[str, str]
    result: str


@dataclass(frozen=True)
class QuantisedLayers:
    """`group_of`: quantised tensor -> the name of its group; all of a group have one exponent. `joined`: groups in which an
    addition, a concatenation or a padding value has a say. `padded`: tensors of the groups that may saturate, because what reads
    them takes the largest of many values."""

    layers: tuple[Layer, ...]
    group_of: dict[str, str]
    joined: frozenset[str]
    padded: frozenset[str]
    products: tuple[Product, ...] = ()

    def is_free(self, layer: Layer) -> bool:
        """Whether no other layer has a say in the exponent of the layer's result."""
        return self.group_of[layer.result] not in self.joined

    @property
    def judged(self) -> list[str]:
        """The tensors whose values the exponents have to suit."""
        return [tensor for tensor in self.group_of if tensor not in self.padded]

    @property
    def groups(self) -> dict[str, list[str]]:
        members: dict[str, list[str]] = {}
        for tensor in self.judged:
            members.setdefault(self.group_of[tensor], []).append(tensor)
        return members


def is_moving(node: Node) -> bool:
    """Whether it moves or selects values alone; a Resize that interpolates, or fills up what lies outside, does not."""
    nearest = node.attributes.get("mode", b"nearest") == b"nearest"
    fills = node.attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
    return node.op in MOVING or (node.op == "Resize" and nearest and not fills)


def has_same_exponent(node: Node) -> bool:
    """Whether its result is of values that it reads, or between them and a bound."""
    return node.op in SAME_EXPONENT or is_moving(node)


def find_layers(net: Net, keep_float: Collection[str] = ()) -> QuantisedLayers:
    """Layers in order of execution and the groups of tensors that share an exponent, without layers that stay in float and those
    that compute with constants alone."""
    union, reached = _Union(), _reached(net)
    layers, products, joined = [], [], []
    fused = {id(activation) for node in net.nodes if (activation := _activation(net, node)) is not None}
    functions = find_functions(net, fused)
    for node in net.nodes:
        activation = _activation(net, node)
        result = _scaled(net, node).output if activation is None else activation.output
        if node.name in functions or node.name in keep_float or not reached.issuperset(data_inputs(net, node)):
            continue
        if is_linear(net, node):
            layers.append(Layer(node, node.inputs[0], node.output, result, net.finer.get(node.name, ())))
            union.add(node.inputs[0])
            union.add(result)
        elif is_addition(net, node):
            union.join([*node.inputs, result])
            joined.append(result)
        elif is_product(net, node):
            products.append(Product((node.inputs[0], node.inputs[1]), result))
            for name in (*node.inputs, result):
                union.add(name)
        elif id(node) not in fused and _keeps_exponent(net, node):
            union.join([*data_inputs(net, node), node.output])
            joined += [node.output] if node.op in ("Concat", *EXTREMA) or bool(_filled(net, node)) else []
    group_of = {tensor: union.find(tensor) for tensor in union.parents}
    padded = frozenset(node.output for node in net.nodes if node.output in group_of and _is_padded(net, node))
    groups = frozenset(group_of[name] for name in joined)
    return QuantisedLayers(tuple(layers), group_of, groups, padded, tuple(products))


def _activation(net: Net, node: Node) -> Node | None:
    """The Relu or Clip that is computed as the node's sums leave the array."""
    if not (is_linear(net, node) or is_addition(net, node) or is_product(net, node)):
        return None
    made = _scaled(net, node).output
    behind = net.only_consumer(made)
    return behind if behind is not None and behind.inputs[0] == made and behind.name in net.bounds else None


def _scaled(net: Net, node: Node) -> Node:
    """The product that takes back how a layer's channels were scaled, or the node itself."""
    (scaling,) = net.consumers(node.output) if node.name in net.finer else (node,)
    return scaling


def is_addition(net: Net, node: Node) -> bool:
    """Or a subtraction, of two tensors of one shape."""
    if node.op not in ("Add", "Sub") or any(name in net.constants for name in node.inputs):
        return False
    first, second = (net.shapes.get(name) for name in node.inputs)
    return first is not None and first == second


def is_product(net: Net, node: Node) -> bool:
    """By one number for each image and channel: what the machine multiplies by."""
    if node.op != "Mul" or node.domain or any(name in net.constants for name in node.inputs):
        return False
    shapes = [net.shapes.get(name, ()) for name in node.inputs]
    return len(shapes[0]) == len(shapes[1]) in (2, 4) and any(
        one == (*other[:2], *[1] * (len(other) - 2)) for one, other in (shapes, shapes[::-1])
    )


def _keeps_exponent(net: Net, node: Node) -> bool:
    if not has_same_exponent(node) or node.domain or len(node.outputs) > 1:
        return False
    if node.op == "Clip" and node.name not in net.bounds:
        return False
    if node.op in EXTREMA and (len(node.inputs) != 2 or len({net.shapes.get(name) for name in node.inputs}) > 1):
        return False
    if node.op == "Pad" and not _pads_maxima(net, node) and not is_number(padding_value(net, node)):
        return False
    return all(name not in net.constants for name in data_inputs(net, node))


def _filled(net: Net, node: Node) -> float | None:
    return padding_value(net, node) if node.op == "Pad" else None


def _is_padded(net: Net, node: Node) -> bool:
    """Before maxima, with a value that has a say in the exponent only behind them."""
    return bool(_filled(net, node)) and _pads_maxima(net, node)


def _pads_maxima(net: Net, node: Node) -> bool:
    return padding_value(net, node) is not None and feeds_maxima(net, node)


def data_inputs(net: Net, node: Node) -> list[str]:
    return node.inputs if node.op in ("Add", "Sub", "Concat", "Mul", *EXTREMA) else node.inputs[:1]


def _reached(net: Net) -> set[str]:
    """The tensors of numbers that depend on the model's inputs; what depends on constants alone is no activation."""
    found = set(net.input_names)
    for node in net.nodes:
        if not found.isdisjoint(node.inputs):
            found.update(name for name in node.outputs if name not in net.integers)
    return found


class _Union:
    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def add(self, name: str) -> None:
        self.parents.setdefault(name, name)

    def find(self, name: str) -> str:
        while self.parents[name] != name:
            name = self.parents[name]
        return name

    def join(self, names: list[str]) -> None:
        for name in names:
            self.add(name)
        roots = {self.find(name): None for name in names}
        first, *others = roots
        for other in others:
            self.parents[other] = first
