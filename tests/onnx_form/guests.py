"""A quantised network of every linear kind, and what makes other files of it that say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.frontends.qdq import QdqBuilder, biases, small_weights

Change = Callable[[onnx.ModelProto], None]
LINEAR = ("QuantizeLinear", "DequantizeLinear")
PLACES = ("activation", "weight", "bias")


def network() -> onnx.ModelProto:
    """Two convolutions, an addition, a pooling and a dense layer."""
    rng = np.random.default_rng(27)
    b = QdqBuilder((1, 4, 8, 8), -5)
    first = b.conv(small_weights(rng, 4, 4, 3, 3), biases(rng, 4), pads=[1, 1, 1, 1], exponent=-4)
    b.add(first, b.conv(small_weights(rng, 4, 4, 2, 2), pads=[0, 0, 1, 1], exponent=-4), -4)
    b.max_pool(2, strides=[2, 2])
    b.flatten()
    b.dense(small_weights(rng, 5, 64), biases(rng, 5), exponent=-3)
    return onnx.shape_inference.infer_shapes(b.build())


def linear(model: onnx.ModelProto, *places: str) -> Iterator[onnx.NodeProto]:
    """The QuantizeLinear and DequantizeLinear nodes of these places, or all."""
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        kind = kinds.get(node.input[0])
        place = "activation" if kind is None else "bias" if kind == TensorProto.INT32 else "weight"
        if node.op_type in LINEAR and (not places or place in places):
            yield node


def change(model: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(item for item in model.graph.initializer if item.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), name))


def array(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(item for item in model.graph.initializer if item.name == name))


def shaped(*places: str) -> Change:
    """Scales and zero points of shape (1)."""

    def apply(model: onnx.ModelProto) -> None:
        for node in linear(model, *places):
            for name in node.input[1:]:
                change(model, name, array(model, name).reshape(-1)[:1])

    return apply


def without_zeros(*places: str) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        for node in linear(model, *places):
            if node.op_type == "DequantizeLinear":
                node.input[:] = node.input[:2]

    return apply


def per_channel(*places: str) -> Change:
    """Equal scales, one for each channel; `axis` counted from the front or from the end."""

    def apply(model: onnx.ModelProto) -> None:
        sizes = {item.name: item.dims for item in model.graph.initializer}
        for index, node in enumerate(linear(model, *places)):
            size = sizes.get(node.input[0])
            count, axis = (size[0], 0) if size is not None else (4, 1)
            if size is None and node.input[0] not in ("input", "input_q"):
                continue  # of activations, the input
            for name in node.input[1:]:
                change(model, name, np.repeat(array(model, name).reshape(-1)[:1], count))
            kept = [item for item in node.attribute if item.name != "axis"]
            node.ClearField("attribute")
            axis = axis - len(size) if size is not None and index % 2 else axis
            node.attribute.extend([*kept, helper.make_attribute("axis", axis)])

    return apply


def typed(*, zeros: bool) -> Change:
    """`output_dtype`, of opset 21."""

    def apply(model: onnx.ModelProto) -> None:
        model.opset_import[0].version, model.ir_version = 21, 10
        for node in linear(model):
            if node.op_type == "QuantizeLinear":
                node.input[:] = node.input[: 3 if zeros else 2]
                node.attribute.append(helper.make_attribute("output_dtype", TensorProto.INT8))

    return apply


def padded(mode: str) -> Change:
    """`auto_pad` of the convolutions and the pooling, whose padding is what it says."""

    def apply(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type in ("Conv", "MaxPool"):
                kept = [item for item in node.attribute if item.name != "pads"]
                node.ClearField("attribute")
                node.attribute.extend([*kept, helper.make_attribute("auto_pad", mode)])

    return apply


def in_nodes(model: onnx.ModelProto) -> None:
    """Scales, zero points and weights in Constant nodes."""
    constants = [helper.make_node("Constant", [], [item.name], value=item) for item in model.graph.initializer]
    nodes = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.ClearField("initializer")
    model.graph.node.extend([*constants, *nodes])


def bytes_without_sign(*places: str) -> Change:
    """uint8 with zero point 128."""

    def apply(model: onnx.ModelProto) -> None:
        held = {item.name for item in model.graph.initializer}
        for name in {
            name for node in linear(model, *places) for name in (node.input[0], node.input[2]) if name in held
        }:
            change(model, name, (array(model, name).astype(np.int16) + 128).astype(np.uint8))
        model.graph.ClearField("value_info")

    return apply


def both(*changes: Change) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        for each in changes:
            each(model)

    return apply


CASES: dict[str, Change] = {
    **{f"scales of shape (1): {place}": shaped(place) for place in PLACES},
    **{f"no zero points: {place}": without_zeros(place) for place in PLACES},
    **{f"equal scales per channel: {place}": per_channel(place) for place in PLACES},
    "equal scales per channel, no zero points": both(per_channel(*PLACES), without_zeros(*PLACES)),
    "scales of shape (1), no zero points": both(shaped(*PLACES), without_zeros(*PLACES)),
    "output_dtype": typed(zeros=False),
    "output_dtype, zero points": typed(zeros=True),
    "output_dtype, scales of shape (1), no zero points": both(
        shaped(*PLACES), typed(zeros=False), without_zeros(*PLACES)
    ),
    "auto_pad": padded("SAME_UPPER"),
    "Constant nodes": in_nodes,
    "Constant nodes, scales of shape (1)": both(shaped(*PLACES), in_nodes),
    "uint8 with zero point 128: weights": bytes_without_sign("weight"),
    "uint8 with zero point 128: activations": bytes_without_sign("activation"),
    "uint8 with zero point 128 per channel": both(bytes_without_sign("weight"), per_channel("weight")),
}


def guest(name: str) -> onnx.ModelProto:
    model = network()
    CASES[name](model)
    return model
