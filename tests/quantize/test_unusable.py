"""Models that cannot be used, each for its kind: a clean error before native code comes upon them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize.networks import FloatNet
from tvm_re2na import ModelError, QuantizeError, load_model
from tvm_re2na.prequantized import to_qdq
from tvm_re2na.quantize import quantize

Damage = Callable[[onnx.ModelProto], None]


def model() -> tuple[onnx.ModelProto, np.ndarray]:
    net = FloatNet(size=8)
    x = net.conv("input", 3, 4)
    numbers = [net.const(np.full(4, value)) for value in (1, 0.5, 0, 1)]
    x = net.add("Relu", net.add("BatchNormalization", x, *numbers))
    return net.build(net.conv(x, 4, 4)), net.images(4)


def weight(proto: onnx.ModelProto, value: np.ndarray, index: int = 0) -> None:
    tensor = proto.graph.initializer[index]
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def calls(*bodies: str) -> Damage:
    """Local functions A, B, ...: each body names what it calls, one after the other."""

    def damage(proto: onnx.ModelProto) -> None:
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        for index, body in enumerate(bodies):
            names = [f"v{i}" for i in range(len(body.split()) + 1)]
            nodes = [
                helper.make_node(op, [a], [b], domain="local" if op.startswith("F") else "")
                for op, a, b in zip(body.split(), names, names[1:], strict=False)
            ]
            made = helper.make_function("local", f"F{index}", names[:1], names[-1:], nodes, opsets, [])
            proto.functions.append(made)
        proto.opset_import.append(opsets[1])
        proto.graph.node.insert(0, helper.make_node("F0", ["input"], ["called"], domain="local"))
        proto.graph.node[1].input[0] = "called"

    return damage


def size(dimension: int, value: int) -> Damage:
    def damage(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].dims[dimension] = value

    return damage


def short(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-3]


def unknown_type(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = 99


def filled(value: float) -> Damage:
    return lambda proto: weight(proto, np.full((4, 3, 3, 3), value, np.float32))


def attribute(name: str, value: object) -> Damage:
    def damage(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].attribute.append(helper.make_attribute(name, value))

    return damage


def fixed_batch(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**40


def external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


DOUBLING = [f"F{index + 1} F{index + 1}" for index in range(29)]
UNUSABLE: dict[str, tuple[Damage, str]] = {
    "short data": (short, "tensor 'constant_0' of shape 4x3x3x3"),
    "large size": (size(0, 2**62), f"tensor 'constant_0' of shape {2**62}x3x3x3"),
    "negative size": (size(1, -2), "tensor 'constant_0' of shape 4x-2x3x3"),
    "unknown type": (unknown_type, "data type 99"),
    "a function that calls itself": (calls("F0"), "call themselves: F0 -> F0"),
    "functions that call each other": (calls("F1", "Relu F2", "F1"), "call themselves: F1 -> F2 -> F1"),
    "functions that double": (calls(*DOUBLING, "Relu"), "nodes with all calls .* at most 100000"),
    "a long chain of functions": (calls(*[f"F{i + 1}" for i in range(500)], "Relu"), "more than 32 deep"),
    "rank of a weight": (lambda proto: weight(proto, np.zeros((1, 4, 3, 3, 3), np.float32)), "spatial dimensions"),
    "channels that differ": (lambda proto: weight(proto, np.ones(27, np.float32), 2), "cannot (run|load) the model"),
    "strides of another length": (attribute("strides", [1]), "strides has incorrect size"),
    "an unending tensor": (attribute("pads", [2**31 - 1, 4, 4, 4]), "tensors of one run .* at most 1,073,741,824"),
    "an unending batch": (fixed_batch, "tensors of one run .* at most 1,073,741,824"),
    "data elsewhere": (external, "data is in another file"),
    "weights of 3e38": (filled(3e38), r"weights reach inf|weights reach .*2\*\*50"),
    "weights of 1e22": (filled(1e22), r"weights reach .*2\*\*50"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_clean_error(kind: str) -> None:
    proto, images = model()
    damage, message = UNUSABLE[kind]
    damage(proto)
    with pytest.raises(ModelError, match=message):
        quantize(proto, images)


def test_activations_beyond_the_limit() -> None:
    proto, images = model()
    with pytest.raises(QuantizeError, match=r"input: values reach .*2\*\*110"):
        quantize(proto, images * np.float32(1e35))


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model()[0].SerializeToString().replace(b"relu_2", b"relu\xff\xfe"))
    with pytest.raises(ModelError, match=r"net\.onnx: no valid ONNX model \(.*UTF-8"):
        load_model(path)


def test_external_data_that_lies(tmp_path: Path) -> None:
    for key, value in (("length", "abc"), ("location", "../weights.bin"), ("offset", "-5")):
        proto = model()[0]
        external(proto)
        proto.graph.initializer[0].external_data.add(key=key, value=value)
        path = tmp_path / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        with pytest.raises((ModelError, OSError), match=r"net\.onnx|weights\.bin"):
            load_model(path)


def test_bounds_the_wrong_way_round() -> None:
    """ONNX takes the upper one."""
    net = FloatNet(size=6)
    clipped = net.add("Clip", net.conv("input", 3, 4), net.const(3e38), net.const(6.0))
    quantize(net.build(net.conv(clipped, 4, 2)), net.images(4))


def test_a_batch_of_less_than_nothing_is_open() -> None:
    proto, images = model()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert quantize(proto, images).report == quantize(*model()).report


def test_a_weight_of_more_dimensions_than_its_input_in_a_prequantized_model() -> None:
    """ONNX Runtime need not know such a model's operators: its shapes are inferred before it is known whether it runs."""
    proto, images = model()
    weight(proto, np.zeros((4, 3, 3, 3, 3, 3), np.float32))
    proto.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
    numbers = ["one", "zero", "bits"]
    for name, value in zip(numbers, (1.0, 0.0, 8.0), strict=True):
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    quant = helper.make_node("Quant", ["conv_0", *numbers], ["q"], domain="qonnx.custom_op.general")
    proto.graph.node.insert(1, quant)
    proto.graph.node[2].input[0] = "q"
    with pytest.raises(ModelError, match="spatial dimensions"):
        quantize(to_qdq(proto), images)
