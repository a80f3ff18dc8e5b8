"""torchvision's ResNet-18, AlexNet, VGG-16 (whole, or its convolutions) and MobileNetV2 as ONNX with seeded random
weights, without torch.

Every node is run by ONNX Runtime as it is appended, on a smooth synthetic image. So BatchNormalization holds the true
statistics of its input, and the weights of layers without one are scaled to give outputs of standard deviation 1
(layer-sequential unit variance): activations neither explode nor die, however deep the network is.

    python tests/models/topologies.py FOLDER [resnet18 alexnet vgg16 vgg16_features mobilenet_v2]

writes the models at 3x224x224, for benchmarks/full_size.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import QuantizeOptions, ScaleRule, WeightRounding, quantize

FloatArray = npt.NDArray[np.float32]
OPSET = 17
WITHOUT_SEARCH = QuantizeOptions(rounding=WeightRounding.NEAREST, scales=ScaleRule.LARGEST, equalise=False)


def synthetic_images(count: int, channels: int, size: int, seed: int = 0) -> FloatArray:
    """Smooth images plus some noise, about mean 0 and deviation 1, as photographs are: (count, channels, size, size)."""
    rng = np.random.default_rng(seed)
    axis = np.arange(size, dtype=np.float32) / size
    images = rng.normal(0, 0.2, (count, channels, size, size))
    for _ in range(12):
        frequency = rng.uniform(-6, 6, (2, count, 1, 1, 1))
        phase = rng.uniform(0, 2 * np.pi, (count, channels, 1, 1))
        wave = frequency[0] * axis[:, None] + frequency[1] * axis[None, :]
        images += rng.normal(0, 0.4, (count, channels, 1, 1)) * np.sin(2 * np.pi * wave + phase)
    return images.astype(np.float32)


def quickly_quantized(
    model: onnx.ModelProto, images: FloatArray | dict[str, FloatArray], arch: Architecture
) -> onnx.ModelProto:
    """Without the search: for claims about what becomes of a quantised network, whatever its accuracy."""
    return quantize(model, images, arch=arch, options=WITHOUT_SEARCH).model


class Network:
    """Appends ONNX nodes, and holds the value that every tensor has for the calibration images."""

    def __init__(self, name: str, size: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.values = {"input": synthetic_images(1, 3, size, seed)}
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def model(self, output: str) -> onnx.ModelProto:
        self._nodes[-1].output[0] = "output"
        shapes = [("input", self.values["input"].shape), ("output", self.values[output].shape)]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
        graph = helper.make_graph(self._nodes, self._name, infos[:1], infos[1:], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def channels(self, tensor: str) -> int:
        return int(self.values[tensor].shape[1])

    def append(self, op: str, inputs: list[str], weights: dict[str, npt.NDArray[Any]], **attributes: Any) -> str:
        output = f"{op.lower()}_{len(self._nodes)}"
        named = {f"{output}.{name}": array for name, array in weights.items()}
        node = helper.make_node(op, [*inputs, *named], [output], name=output, **attributes)
        self.values[output] = _run(node, {name: self.values[name] for name in inputs} | named)
        self._nodes.append(node)
        self._weights += [numpy_helper.from_array(array, name) for name, array in named.items()]
        return output

    def conv(
        self, x: str, channels: int, kernel: int, stride: int, padding: int, groups: int = 1, bn: bool = True
    ) -> str:
        shape = (channels, self.channels(x) // groups, kernel, kernel)
        weights = {"weight": self._he(shape)}
        attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [padding] * 4,
            "dilations": [1, 1],
            "group": groups,
        }
        if bn:
            return self.batch_norm(self.append("Conv", [x], weights, **attributes))
        return self._unit_variance("Conv", x, weights, attributes)

    def batch_norm(self, x: str) -> str:
        value, channels = self.values[x], self.channels(x)
        weights = {
            "scale": self.rng.uniform(0.5, 1.5, channels),
            "bias": self.rng.normal(0, 0.1, channels),
            "mean": value.mean((0, 2, 3)),
            "var": value.var((0, 2, 3)) + 1e-3,
        }
        return self.append(
            "BatchNormalization", [x], {k: v.astype(np.float32) for k, v in weights.items()}, epsilon=1e-5
        )

    def dense(self, x: str, channels: int) -> str:
        weights = {"weight": self._he((channels, self.channels(x)))}
        return self._unit_variance("Gemm", x, weights, {"transB": 1, "alpha": 1.0, "beta": 1.0})

    def relu(self, x: str) -> str:
        return self.append("Relu", [x], {})

    def relu6(self, x: str) -> str:
        return self.append("Clip", [x], {"min": np.array(0, np.float32), "max": np.array(6, np.float32)})

    def max_pool(self, x: str, kernel: int, stride: int, padding: int = 0) -> str:
        return self.append("MaxPool", [x], {}, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4)

    def head(self, x: str, classes: int) -> str:
        return self.dense(self.append("Flatten", [self.append("GlobalAveragePool", [x], {})], {}, axis=1), classes)

    def _he(self, shape: tuple[int, ...]) -> FloatArray:
        weight = self.rng.standard_normal(shape, dtype=np.float32)
        return weight * np.float32(np.sqrt(2 / np.prod(shape[1:])))

    def _unit_variance(self, op: str, x: str, weights: dict[str, Any], attributes: dict[str, Any]) -> str:
        node = helper.make_node(op, [x, "weight"], ["y"], **attributes)
        deviation = _run(node, {x: self.values[x], **weights}).std()
        bias = self.rng.normal(0, 0.1, len(weights["weight"])).astype(np.float32)
        return self.append(op, [x], {"weight": weights["weight"] / deviation, "bias": bias}, **attributes)


def _run(node: onnx.NodeProto, values: dict[str, npt.NDArray[Any]]) -> FloatArray:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in values.items()]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "node", infos, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(values))[0], np.float32)


def resnet18(size: int = 224, classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    net = Network("resnet18", size, seed)
    x = net.max_pool(net.relu(net.conv("input", 64, 7, 2, 3)), 3, 2, 1)
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = net.conv(net.relu(net.conv(x, channels, 3, stride, 1)), channels, 3, 1, 1)
            shortcut = x if stride == 1 else net.conv(x, channels, 1, stride, 0)
            x = net.relu(net.append("Add", [y, shortcut], {}))
    return net.model(net.head(x, classes))


def alexnet(size: int = 224, classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    net = Network("alexnet", size, seed)
    x = net.max_pool(net.relu(net.conv("input", 64, 11, 4, 2, bn=False)), 3, 2)
    x = net.max_pool(net.relu(net.conv(x, 192, 5, 1, 2, bn=False)), 3, 2)
    for channels in (384, 256, 256):
        x = net.relu(net.conv(x, channels, 3, 1, 1, bn=False))
    return net.model(_classifier(net, net.max_pool(x, 3, 2), classes))


def vgg16(size: int = 224, classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    net = Network("vgg16", size, seed)
    return net.model(_classifier(net, _vgg_convolutions(net), classes))


def vgg16_features(size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """VGG-16 without its fully connected layers."""
    net = Network("vgg16_features", size, seed)
    return net.model(_vgg_convolutions(net))


def _vgg_convolutions(net: Network) -> str:
    x = "input"
    for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            x = net.relu(net.conv(x, channels, 3, 1, 1, bn=False))
        x = net.max_pool(x, 2, 2)
    return x


def _classifier(net: Network, x: str, classes: int) -> str:
    # torch exports the adaptive average pool as a 1x1 window when the size fits already
    x = net.append("AveragePool", [x], {}, kernel_shape=[1, 1], strides=[1, 1])
    x = net.append("Flatten", [x], {}, axis=1)
    for _ in range(2):
        x = net.relu(net.dense(x, 4096))
    return net.dense(x, classes)


def mobilenet_v2(size: int = 224, classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    net = Network("mobilenet_v2", size, seed)
    x = net.relu6(net.conv("input", 32, 3, 2, 1))
    for expand, channels, count, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(count):
            x = _inverted_residual(net, x, expand, channels, first if block == 0 else 1)
    return net.model(net.head(net.relu6(net.conv(x, 1280, 1, 1, 0)), classes))


def _inverted_residual(net: Network, x: str, expand: int, channels: int, stride: int) -> str:
    hidden = net.channels(x) * expand
    y = net.relu6(net.conv(x, hidden, 1, 1, 0)) if expand > 1 else x
    y = net.relu6(net.conv(y, hidden, 3, stride, 1, groups=hidden))
    y = net.conv(y, channels, 1, 1, 0)
    return net.append("Add", [x, y], {}) if stride == 1 and net.channels(x) == channels else y


TOPOLOGIES: dict[str, Callable[..., onnx.ModelProto]] = {
    "resnet18": resnet18,
    "alexnet": alexnet,
    "vgg16": vgg16,
    "vgg16_features": vgg16_features,
    "mobilenet_v2": mobilenet_v2,
}


if __name__ == "__main__":
    for wanted in sys.argv[2:] or TOPOLOGIES:
        onnx.save(TOPOLOGIES[wanted](), Path(sys.argv[1]) / f"{wanted}.onnx")
