"""Operators are called as in the source model, and where that has no names, the same in both front ends."""

from __future__ import annotations

import copy

import numpy as np
import onnx

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.names import UniqueNames, node_names

RNG = np.random.default_rng(7)


def branches() -> onnx.ModelProto:
    """Two convolutions side by side, the second of which a TVM may well come to first."""
    b = QdqBuilder((1, 4, 8, 8), -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4, pads=[1, 1, 1, 1])
    left = b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4, pads=[1, 1, 1, 1], x=x)
    right = b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), exponent=-4, x=x)
    b.add(right, left, -3)
    b.max_pool(2)
    b.flatten()
    b.dense(small_weights(RNG, 3, 196), biases(RNG, 3), exponent=-2)
    return b.build()


def nameless(model: onnx.ModelProto) -> onnx.ModelProto:
    model = copy.deepcopy(model)
    for node in model.graph.node:
        node.ClearField("name")
    return model


def names(model: onnx.ModelProto) -> dict[str, int]:
    """Of the offloaded operators, as their programs have them, with the multiply-accumulates of each."""
    session = frontends.session()
    compiled = session.compile_for_re2na(*session.import_onnx(model, {}), Architecture())
    return {source.name: source.macs for _, program in compiled.programs for source in program.sources}


def test_nodes_without_names(front_end: FrontEnd) -> None:
    found = names(nameless(lenet(RNG, batch=2)))
    assert list(found) == ["Conv_0", "MaxPool_0", "Conv_1", "MaxPool_1", "Flatten_0", "Gemm_0", "Gemm_1"]


def test_numbers_follow_the_model(front_end: FrontEnd) -> None:
    model = nameless(branches())
    before = model.SerializeToString(deterministic=True)
    found = names(model)
    assert found.keys() == {"Conv_0", "Conv_1", "Conv_2", "Add_0", "MaxPool_0", "Flatten_0", "Gemm_0"}
    assert [found[f"Conv_{index}"] for index in range(3)] == [64 * 4 * 4 * 9, 64 * 4 * 4 * 9, 64 * 4 * 4]
    assert model.SerializeToString(deterministic=True) == before, "importing changes the model"


def test_nodes_with_names(front_end: FrontEnd) -> None:
    model = branches()
    kinds = ("Conv", "Add", "MaxPool", "Flatten", "Gemm")
    assert sorted(names(model)) == sorted(node.name for node in model.graph.node if node.op_type in kinds)


def test_a_number_that_a_node_has_already_is_left_out() -> None:
    nodes = [("Conv", ""), ("Conv", "Conv_0"), ("Relu", ""), ("Conv", "")]
    assert node_names(nodes) == ["Conv_1", "Conv_0", "Relu_0", "Conv_2"]


def test_operators_that_come_from_no_node(front_end: FrontEnd) -> None:
    """A module that was no ONNX model: kind and running number, in `explain` and in the program."""
    b = front_end.Builder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), exponent=-4)
    b.output()
    module = b.build()
    assert [row.name for row in front_end.explain(module) if row.offloaded] == ["conv2d_0", "conv2d_1"]
    (region,) = front_end.regions(front_end.partition(module))
    assert [op.name for op in region.graph.ops] == ["conv2d_0", "conv2d_1"]


def test_names_are_handed_out_once() -> None:
    unique = UniqueNames()
    given = [unique.take("conv2d", name) for name in ("a", "a", None, "conv2d_1", None)]
    assert given == ["a", "a_0", "conv2d_0", "conv2d_1", "conv2d_2"]
