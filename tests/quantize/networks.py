"""Small float ONNX models for the quantiser's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class FloatNet:
    """Appends nodes to a float model; every method returns the new tensor's name."""

    def __init__(self, channels: int = 3, size: int = 12, seed: int = 0, batch: int | str = "N") -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = [batch, channels, size, size]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def const(self, value: Any, kind: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        return self.const(self.rng.normal(0, scale, shape))

    def conv(self, x: str, channels: int, outputs: int, kernel: int = 3, **attributes: Any) -> str:
        depth = channels // attributes.get("group", 1)
        weight = self.random(outputs, depth, kernel, kernel, scale=(depth * kernel * kernel) ** -0.5)
        return self.add("Conv", x, weight, self.random(outputs, scale=0.1), **attributes)

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        return self.add("Gemm", x, self.random(outputs, inputs, scale=inputs**-0.5), self.random(outputs), transB=1)

    def build(self, *outputs: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)

    def images(self, count: int = 16) -> np.ndarray:
        return self.rng.normal(0, 1, (count, *self.shape[1:])).astype(np.float32)


class SequenceNet(FloatNet):
    """Of sequences (N, C, L)."""

    def __init__(self, channels: int = 4, length: int = 24, batch: int | str = "N") -> None:
        super().__init__(seed=3)
        self.shape = [batch, channels, length]

    def conv1d(self, x: str, channels: int, outputs: int, kernel: int = 3, **attributes: Any) -> str:
        depth = channels // attributes.get("group", 1)
        weight = self.random(outputs, depth, kernel, scale=(depth * kernel) ** -0.5)
        return self.add("Conv", x, weight, self.random(outputs, scale=0.1), **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        uniform = [self.const(self.rng.uniform(0.5, 2, channels)) for _ in range(2)]
        return self.add("BatchNormalization", x, uniform[0], self.random(channels), self.random(channels), uniform[1])

    def classifier(self, x: str) -> str:
        """What a network for sequences (N, 4, L) is made of; (N, 5)."""
        x = self.add("Relu", self.batch_norm(self.conv1d(x, 4, 8, 5, pads=[2, 2], strides=[2]), 8))
        y = self.conv1d(x, 8, 8, pads=[2, 2], dilations=[2])
        x = self.add("Relu", self.add("Add", y, x))
        x = self.add("MaxPool", x, kernel_shape=[2], strides=[2])
        x = self.conv1d(x, 8, 8, pads=[1, 1], group=8)
        x = self.add("AveragePool", x, kernel_shape=[2], strides=[2])
        x = self.add("Relu", self.conv1d(x, 8, 16, 1))
        return self.gemm(self.add("ReduceMean", x, axes=[2], keepdims=0), 16, 5)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """First output of ONNX Runtime, every operator as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return output


def residual_model() -> tuple[onnx.ModelProto, np.ndarray]:
    """Conv + BatchNorm + Relu, a residual block, max and average pooling, Flatten, Gemm."""
    net = FloatNet()
    x = net.conv("input", 3, 8, pads=[1, 1, 1, 1])
    gamma, beta = net.const(net.rng.uniform(0.5, 2, 8)), net.random(8)
    mean, variance = net.random(8), net.const(net.rng.uniform(0.5, 2, 8))
    x = net.add("Relu", net.add("BatchNormalization", x, gamma, beta, mean, variance))
    y = net.add("Relu", net.conv(x, 8, 8, pads=[1, 1, 1, 1]))
    x = net.add("Relu", net.add("Add", net.conv(y, 8, 8, pads=[1, 1, 1, 1]), x))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.build(net.gemm(net.add("Dropout", x), 8, 5)), net.images()
