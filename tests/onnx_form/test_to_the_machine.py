"""From a file to the machine's integers, with whichever TVM is there: what once failed, or gave other numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_form.networks import answers, declared
from tests.quantize.networks import FloatNet
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")

LEAST_DB = 25


def view(net: FloatNet) -> onnx.ModelProto:
    x = net.add("Relu", net.conv("input", 3, 4))
    size = net.add("Gather", net.add("Shape", x), net.const(0, np.int64))
    sizes = net.add("Concat", net.add("Unsqueeze", size, net.const([0], np.int64)), net.const([-1], np.int64), axis=0)
    return net.build(net.gemm(net.add("Reshape", x, sizes), 4 * 36, 5))


def weights_in_other_types(net: FloatNet) -> onnx.ModelProto:
    half = net.const(net.rng.normal(0, 0.2, (3, 3, 3, 8)), np.float16)
    weight = net.add("Transpose", net.add("Cast", half, to=TensorProto.FLOAT), perm=[3, 2, 0, 1])
    x = net.add("Clip", net.add("Conv", "input", weight), net.const(0.0), net.const(np.inf))
    return net.build(net.gemm(net.add("ReduceMean", x, axes=[2, 3], keepdims=0), 8, 5))


def padded_by_the_lowest(net: FloatNet) -> onnx.ModelProto:
    lowest = net.const(np.finfo(np.float32).min)
    x = net.add("Pad", net.conv("input", 3, 4), net.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), lowest)
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    return net.build(net.gemm(net.add("Flatten", x), 4 * 9, 5))


def other_numbers_for_every_row(net: FloatNet) -> onnx.ModelProto:
    net.shape[0] = 5
    weight, bias = net.random(192, 5, scale=192**-0.5), net.random(5, 1)
    return net.build(net.add("Gemm", net.add("Flatten", "input"), weight, bias))


def the_input_as_an_output(net: FloatNet) -> onnx.ModelProto:
    return declared(net.build(net.conv("input", 3, 4), "input"), ("N", 4, 6, 6), ("N", 3, 8, 8))


def a_local_function(net: FloatNet) -> onnx.ModelProto:
    model = declared(net.build(net.conv("input", 3, 4)), ("N", 4, 6, 6))
    model.graph.node.append(helper.make_node("Act", [model.graph.output[0].name], ["y"], name="act", domain="local"))
    model.graph.output[0].name = "y"
    body = [helper.make_node("Relu", ["a"], ["b"], name="relu")]
    model.functions.append(helper.make_function("local", "Act", ["a"], ["b"], body, [helper.make_opsetid("", 17)], []))
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


def the_place_of_the_largest(net: FloatNet) -> onnx.ModelProto:
    x = net.gemm(net.add("Flatten", net.conv("input", 3, 4)), 4 * 36, 5)
    place = net.add("ArgMax", x, axis=1)
    model = net.build(x)
    model.graph.output.append(helper.make_tensor_value_info(place, TensorProto.INT64, ["N", 1]))
    return model


CASES: list[Callable[[FloatNet], onnx.ModelProto]] = [
    view,
    weights_in_other_types,
    padded_by_the_lowest,
    other_numbers_for_every_row,
    the_input_as_an_output,
    a_local_function,
    the_place_of_the_largest,
]


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_the_answer_is_the_networks(made: Callable[[FloatNet], onnx.ModelProto], tmp_path: Path) -> None:
    net = FloatNet(size=8, seed=4)
    model = made(net)
    onnx.save(model, tmp_path / "model.onnx")
    batch = net.shape[0] if isinstance(net.shape[0], int) else 1
    given = net.rng.normal(0, 1, (20, *net.shape[1:])).astype(np.float32)
    quantized = quantize(pipeline.load_model(tmp_path / "model.onnx"), given).model
    mod, params = pipeline.import_into_tvm(quantized, batch)
    names = {item.name for item in pipeline.explain(mod, params, Architecture()) if item.offloaded}
    layers = {node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    assert layers <= names, "what users call their layers is what they are told"
    mod, params = pipeline.import_into_tvm(quantized, batch)
    machine = pipeline.build_for_re2na(mod, params, Architecture()).executor()(given[:batch])
    wanted = answers(model, given[:batch])
    assert snr(np.asarray(machine[0]), np.asarray(wanted[0])) > LEAST_DB
    assert len(machine) == len(wanted)


def snr(got: np.ndarray, wanted: np.ndarray) -> float:
    assert got.shape == wanted.shape
    noise = float(((got - wanted.astype(np.float64)) ** 2).sum())
    return 10 * np.log10(float((wanted.astype(np.float64) ** 2).sum()) / max(noise, 1e-30))
