"""Stage 2: the same function with fewer kinds of operators.

Afterwards a linear layer is a Conv or ConvTranspose with explicit padding or a Gemm with `transB`, each with a constant weight and
a constant bias. What cannot be brought to this form is left as it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tvm_re2na.element_wise import OF_ONE
from tvm_re2na.quantize.functions import treats_all_alike
from tvm_re2na.quantize.net import Array, Net, Node
from tvm_re2na.quantize.transposed import as_stored, is_transposed, weight_of

PASSING = ("Identity", "Dropout")
# functions, but for those that a layer before them takes
BEGUN = (OF_ONE | {"PRelu", "Pow"}) - {"Clip", "Relu", "HardSigmoid"}


def fold(net: Net) -> None:
    """All passes, in the order in which they help each other."""
    _drop_passing(net)
    _normalise_gemm(net)
    _fold_pad(net)
    _fold_affine(net)
    _add_missing_bias(net)
    _record_bounds(net)


def is_linear(net: Net, node: Node) -> bool:
    """Whether the node is a Conv, ConvTranspose or Gemm in the normal form."""
    weight = net.constant(node, 1)
    axes = {"Conv": 4, "ConvTranspose": 4, "Gemm": 2}.get(node.op)  # of the weight; others convolve what is no image
    known = not node.domain and weight is not None and weight.ndim == axes
    plain = has_explicit_padding(node) and not (is_transposed(node) and _is_dilated(node))
    return known and plain and _bias_is_constant(net, node)


def _is_dilated(node: Node) -> bool:
    return any(step != 1 for step in node.attributes.get("dilations", [1]))


def has_explicit_padding(node: Node) -> bool:
    """True but for a model that `onnx_form` had to leave as it was."""
    return node.attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and "output_shape" not in node.attributes


def _bias_is_constant(net: Net, node: Node) -> bool:
    return len(node.inputs) < 3 or not node.inputs[2] or node.inputs[2] in net.constants


def _drop_passing(net: Net) -> None:
    for node in list(net.nodes):
        if node.op not in PASSING or node.domain:
            continue
        if node.inputs[0] in net.constants:
            net.constants[node.output] = net.constants[node.inputs[0]]
            net.nodes.remove(node)
        elif node.output not in net.output_names or node.inputs[0] not in (*net.input_names, *net.output_names):
            net.remove(node)


def _normalise_gemm(net: Net) -> None:
    for node in list(net.nodes):
        if node.op == "MatMul":
            _matmul_to_gemm(net, node)
        elif node.op == "Gemm":
            _plain_gemm(net, node)


def _matmul_to_gemm(net: Net, node: Node) -> None:
    weight = net.constant(node, 1)
    if weight is None or weight.ndim != 2 or len(net.shapes.get(node.inputs[0], ())) != 2:
        return
    name = net.add_constant(f"{node.name}.weight", np.ascontiguousarray(weight.T))
    node.op, node.inputs, node.attributes = "Gemm", [node.inputs[0], name], {"transB": 1}
    behind = net.only_consumer(node.output)
    if behind is None or behind.op != "Add":
        return
    bias = next((net.constants[other] for other in behind.inputs if other in net.constants), None)
    if bias is not None and bias.size == bias.shape[-1] == weight.shape[1]:
        node.inputs.append(net.add_constant(f"{node.name}.bias", bias.reshape(-1)))
        node.outputs = behind.outputs
        net.nodes.remove(behind)


def _plain_gemm(net: Net, node: Node) -> None:
    """alpha, beta and the weight's transposition go into the constants."""
    weight, attributes = net.constant(node, 1), node.attributes
    if weight is None or attributes.get("transA", 0) or not _bias_is_constant(net, node):
        return
    weight = weight if attributes.get("transB", 0) else weight.T
    scaled = np.ascontiguousarray(weight * np.float32(attributes.get("alpha", 1.0)))
    inputs = [node.inputs[0], net.add_constant(f"{node.name}.weight", scaled)]
    bias = net.constant(node, 2)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * np.float32(attributes.get("beta", 1.0)), (len(weight),))
        inputs.append(net.add_constant(f"{node.name}.bias", np.ascontiguousarray(bias)))
    node.inputs, node.attributes = inputs, {"transB": 1}


def _fold_pad(net: Net) -> None:
    """Zero padding of rows and columns moves into the convolution behind it."""
    for node in list(net.nodes):
        pads, behind = net.constant(node, 1), net.only_consumer(node.output)
        if node.op != "Pad" or pads is None or len(pads) != 8 or behind is None or behind.op != "Conv":
            continue
        value = net.constant(node, 2)
        outside = [pads[index] for index in (0, 1, 4, 5)]
        zero = node.attributes.get("mode", b"constant") == b"constant" and (value is None or not value.any())
        if zero and not any(outside) and pads.min() >= 0 and len(node.inputs) < 4:
            more = [int(pads[index]) for index in (2, 3, 6, 7)]
            old = behind.attributes.get("pads", [0, 0, 0, 0])
            behind.attributes["pads"] = [a + b for a, b in zip(old, more, strict=True)]
            net.remove(node)


def _fold_affine(net: Net) -> None:
    """A factor and a number for each channel move into the linear layer before them."""
    for node in list(net.nodes):
        affine = _affine(net, node)
        if affine is None:
            continue
        before, image = net.producer(affine.data), len(net.shapes.get(affine.data, ())) == 4
        if before is not None and is_linear(net, before) and net.only_consumer(before.output) is node:
            _scale_linear(net, before, affine.scale, affine.shift)
            _take_affine(net, node, before)
        elif image and (node.op == "BatchNormalization" or _is_factor(net, node, before)):
            _affine_to_conv(net, node, affine)


def _take_affine(net: Net, node: Node, before: Node) -> None:
    """What is left of a node whose factors the layer before it has taken: of a HardSigmoid its bounds."""
    if node.op == "HardSigmoid":
        ends = (("least", 0), ("most", 1))
        bounds = [net.add_constant(f"{node.name}.{name}", np.array(value, np.float32)) for name, value in ends]
        node.op, node.inputs, node.attributes = "Clip", [before.output, *bounds], {}
    else:
        before.outputs = node.outputs[:1]
        net.nodes.remove(node)


class _Affine(NamedTuple):
    """`data` times `scale` (C,) plus `shift` (C,)."""

    data: str
    scale: Array
    shift: Array


def _affine(net: Net, node: Node) -> _Affine | None:
    """Of a normalisation, of arithmetic with a constant for each channel or for all, or of a HardSigmoid; None of any other."""
    if node.domain or not node.inputs:
        return None
    if node.op == "BatchNormalization":
        known = all(net.constant(node, index) is not None for index in range(1, 5))
        return _Affine(node.inputs[0], *_of_batch_norm(net, node)) if known else None
    channels = _channels(net, node.output)
    if not channels:
        return None
    one = np.ones(channels)
    if node.op == "HardSigmoid":
        alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
        return _Affine(node.inputs[0], one * alpha, one * beta)
    return _arithmetic(net, node, one) if node.op in ("Mul", "Div", "Add", "Sub") else None


def _arithmetic(net: Net, node: Node, one: Array) -> _Affine | None:
    """`one`: as many ones as there are channels."""
    place = next((index for index in (1, 0) if net.constant(node, index) is not None), None)
    if place is None or (place == 0 and node.op in ("Div", "Sub")):
        return None
    data, shape = node.inputs[1 - place], net.shapes[node.output]
    values = _by_channel(net.constants[node.inputs[place]], shape)
    if values is None or net.shapes.get(data) != shape:
        return None
    if node.op in ("Add", "Sub"):
        return _Affine(data, one, one * (values if node.op == "Add" else -values))
    if node.op == "Div" and np.abs(values).min() < np.finfo(np.float32).tiny:
        return None
    return _Affine(data, one * values if node.op == "Mul" else one / values, 0 * one)


def _channels(net: Net, tensor: str) -> int | None:
    """Of data of two or more axes whose channels are known."""
    shape = net.shapes.get(tensor, ())
    return shape[1] if len(shape) > 1 else None


def _by_channel(values: Array, shape: tuple[int | None, ...]) -> Array | None:
    """A constant as one number, or one for each channel of the tensors of this shape that it is combined with."""
    sizes = (*[1] * (len(shape) - values.ndim), *values.shape)
    alike = values.dtype.kind == "f" and len(sizes) == len(shape) and values.size in (1, shape[1])
    return values.reshape(-1).astype(np.float64) if alike and sizes[1] == values.size else None


def _is_quantised(net: Net, node: Node | None) -> bool:
    """Whether a linear layer has made the data, which an activation or a maximum may have changed since."""
    while node is not None and node.op in ("Relu", "Clip", "MaxPool"):
        node = net.producer(node.inputs[0])
    return node is not None and is_linear(net, node)


def _is_factor(net: Net, node: Node, before: Node | None) -> bool:
    """Of quantised data, and not the beginning of a function that stays in float, as of a GELU."""
    consumers = net.consumers(node.output)
    begins = bool(consumers) and all(consumer.op in BEGUN for consumer in consumers)
    within = begins and all(treats_all_alike(net, part) for part in (node, *consumers))
    return node.op in ("Mul", "Div") and _is_quantised(net, before) and not within


def _of_batch_norm(net: Net, node: Node) -> tuple[Array, Array]:
    gamma, beta, mean, variance = (net.constants[name].astype(np.float64) for name in node.inputs[1:5])
    scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return scale, beta - mean * scale


def _scale_linear(net: Net, node: Node, scale: Array, shift: Array) -> None:
    weight = weight_of(net, node).astype(np.float64)
    bias = net.constant(node, 2)
    scaled = as_stored(node, weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
    shifted = shift if bias is None else bias.astype(np.float64) * scale + shift
    node.inputs = [
        node.inputs[0],
        net.add_constant(f"{node.name}.weight", scaled.astype(np.float32)),
        net.add_constant(f"{node.name}.bias", shifted.astype(np.float32)),
    ]


def _affine_to_conv(net: Net, node: Node, affine: _Affine) -> None:
    """A normalisation that stands alone is a 1 x 1 depthwise convolution."""
    weight = net.add_constant(f"{node.name}.weight", affine.scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = net.add_constant(f"{node.name}.bias", affine.shift.astype(np.float32))
    node.op, node.inputs, node.outputs = "Conv", [affine.data, weight, bias], node.outputs[:1]
    node.attributes = {"group": len(affine.scale), "kernel_shape": [1, 1]}


def _add_missing_bias(net: Net) -> None:
    for node in net.nodes:
        if is_linear(net, node) and net.constant(node, 2) is None:
            outputs = len(weight_of(net, node))
            node.inputs = [*node.inputs[:2], net.add_constant(f"{node.name}.bias", np.zeros(outputs, np.float32))]


def _record_bounds(net: Net) -> None:
    """A Clip with computed bounds has none and is no activation to us."""
    for node in net.nodes:
        if node.op == "Relu":
            net.bounds[node.name] = (0.0, math.inf)
        elif node.op == "Clip" and all(not name or name in net.constants for name in node.inputs[1:]):
            low, high = net.constant(node, 1), net.constant(node, 2)
            least, most = -math.inf if low is None else low.item(), math.inf if high is None else high.item()
            net.bounds[node.name] = (min(least, most), most)  # where they are the wrong way round, ONNX takes the upper
