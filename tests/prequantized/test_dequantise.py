"""What the float model keeps of a pre-quantised one: saturation where it is the function, weights, names; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.frontends.qlinear import qlinear_network
from tvm_re2na import load_dataset, load_model
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.evaluate import float_runner
from tvm_re2na.prequantized import PrequantizedError, dequantise, requantize
from tvm_re2na.quantize import quantize

RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(16, 2, 6, 6)).astype(np.float32)


def network(zero: np.generic, scale: float, *, clip: tuple[int, int] | None = None) -> onnx.ModelProto:
    """Q, DQ, conv 3x3, Q [, Clip of integers], DQ, conv 1x1: no activation but what the quantiser in the middle does."""
    constants = {
        "s_in": np.float32(0.03),
        "z_in": np.int8(3),
        "w1": RNG.integers(-100, 100, (4, 2, 3, 3)).astype(np.int8),
        "s_w": np.array([0.01, 0.02, 0.003, 0.007], np.float32),
        "z_w": np.zeros(4, np.int8),
        "w2": RNG.normal(size=(3, 4, 1, 1)).astype(np.float32),
        "s": np.float32(scale),
        "z": zero,
    }
    middle = ["q_mid"]
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "s_in", "z_in"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s_in", "z_in"], ["x"]),
        helper.make_node("DequantizeLinear", ["w1", "s_w", "z_w"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], name="first"),
        helper.make_node("QuantizeLinear", ["y", "s", "z"], ["q_mid"]),
    ]
    if clip is not None:
        constants |= {"low": zero.dtype.type(clip[0]), "high": zero.dtype.type(clip[1])}
        nodes.append(helper.make_node("Clip", ["q_mid", "low", "high"], ["q_clip"]))
        middle = ["q_clip"]
    nodes += [
        helper.make_node("DequantizeLinear", [*middle, "s", "z"], ["m"]),
        helper.make_node("Conv", ["m", "w2"], ["output"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "given",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 2, 6, 6])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def snr(signal: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10((signal**2).sum() / ((signal - other) ** 2).sum()))


@pytest.mark.parametrize(
    ("zero", "scale", "clip", "bounds"),
    [
        (np.uint8(0), 0.05, None, (0.0, 12.75)),  # the ReLU that the quantiser is
        (np.int8(-128), 0.05, None, (0.0, 12.75)),
        (np.uint8(0), 1 / 255, None, (0.0, 1.0)),  # ReLU1
        (np.int8(0), 0.01, None, (-1.28, 1.27)),  # ends below what the layer gives, both ways
        (np.int8(0), 0.05, (-8, 7), (-0.4, 0.35)),  # QCDQ: 4 bits
        (np.uint8(20), 0.05, (20, 60), (0.0, 2.0)),
    ],
)
def test_saturation_is_kept(
    zero: np.generic, scale: float, clip: tuple[int, int] | None, bounds: tuple[float, float]
) -> None:
    given = network(zero, scale, clip=clip)
    model = dequantise(given).model
    (node,) = [node for node in model.graph.node if node.op_type == "Clip"]
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    np.testing.assert_allclose([constants[name] for name in node.input[1:]], bounds, rtol=1e-5)
    signal = float_runner(given)(IMAGES)[0]
    assert snr(signal, float_runner(model)(IMAGES)[0]) > 20
    without = onnx.ModelProto.FromString(model.SerializeToString())
    _drop(without, node.name)
    assert snr(signal, float_runner(without)(IMAGES)[0]) < 12  # the Clip is what makes it the same function
    requantized = requantize(given, IMAGES).model
    assert snr(signal, float_runner(requantized)(IMAGES)[0]) > 20


def _drop(model: onnx.ModelProto, name: str) -> None:
    node = next(node for node in model.graph.node if node.name == name)
    for other in model.graph.node:
        other.input[:] = [node.input[0] if item == node.output[0] else item for item in other.input]
    model.graph.node.remove(node)


def test_qlinear_operators() -> None:
    given = qlinear_network(np.random.default_rng(0))
    found = dequantise(given)
    assert [node.op_type for node in found.model.graph.node].count("Conv") == 2
    images = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    assert snr(float_runner(given)(images)[0], float_runner(found.model)(images)[0]) > 20


def test_an_exact_model_is_left_alone(demo_data: Path) -> None:
    calibration = load_dataset(demo_data / "mnist_calibration128.npz", 64).x
    given = quantize(load_model(demo_data / "lenet5_mnist.onnx"), calibration).model
    before = given.SerializeToString()
    made = requantize(given, calibration)
    assert made.report.exact
    assert made.report.changes == ()
    assert made.model is given
    assert made.model.SerializeToString() == before


def test_an_exact_model_whose_sums_overflow_is_not(demo_data: Path) -> None:
    calibration = load_dataset(demo_data / "mnist_calibration128.npz", 64).x
    given = quantize(load_model(demo_data / "lenet5_mnist.onnx"), calibration).model
    made = requantize(given, calibration, arch=Architecture(acc_bits=15))
    assert not made.report.exact
    assert made.report.overflowing
    assert {change.role for change in made.report.changes} >= {"weight"}


def test_what_is_not_known_is_named() -> None:
    given = network(np.int8(0), 0.05)
    given.graph.node[-2].input[1] = "s_in"
    with pytest.raises(PrequantizedError, match="another scale"):
        dequantise(given)
    given = network(np.int8(0), 0.05)
    given.graph.node[4].CopyFrom(helper.make_node("DynamicQuantizeLinear", ["y"], ["q_mid", "a", "b"], name="dyn"))
    with pytest.raises(PrequantizedError, match="DynamicQuantizeLinear dyn"):
        dequantise(given)
    with pytest.raises(PrequantizedError, match=r"scale 0\.0"):
        dequantise(network(np.int8(0), 0.0))
