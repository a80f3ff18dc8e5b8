"""TVM's integers held against ONNX Runtime: what is wrong is found where it is, what is a tie is not reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights, weights
from tests.quantize.networks import FloatNet
from tvm_re2na import frontends, pipeline, second_opinion
from tvm_re2na.artefacts import for_cpu
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.model_error import ModelError
from tvm_re2na.npz import DataError
from tvm_re2na.opinion.opinion import Runner, judge_all, random_images
from tvm_re2na.opinion.sections import CutModel
from tvm_re2na.opinion.verdict import SecondOpinion, judge

RNG = np.random.default_rng(19)
SHAPE = (1, 4, 8, 8)
needs_tvm = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")


def chain(activation: str = "Relu", **attributes: object) -> onnx.ModelProto:
    """Convolution, an activation on its own, an addition of operands of other scales, convolution; in opset 17."""
    rng = np.random.default_rng(3)
    b = QdqBuilder(SHAPE, -5)
    left = b.conv(small_weights(rng, 4, 4, 3, 3), biases(rng, 4), pads=[1, 1, 1, 1], exponent=-4)
    right = b.node(activation, SHAPE, -4, **attributes)
    b.add(left, right, -3)
    b.conv(weights(rng, 6, 4, 3, 3), exponent=2)
    return b.build()


@pytest.fixture(scope="module")
def built() -> Runner:
    """`chain()`, with its integers shown."""
    return for_cpu(CutModel(chain()).exposed()).executor()


def names(opinion: SecondOpinion) -> list[str]:
    return [operator.name for operator in opinion.parting]


@needs_tvm
@pytest.mark.parametrize("kind, found", [("LeakyRelu", ["leakyrelu_14"]), ("Relu", [])])
def test_a_wrong_conversion_is_found_at_its_operator(built: Runner, kind: str, found: list[str]) -> None:
    """TVM is given a Relu for it, as TVM 0.19's own conversion makes of a LeakyRelu."""
    model = chain(kind, **({"alpha": 0.25} if found else {}))
    opinion = judge_all(CutModel(model), built, random_images(model), 1)
    assert names(opinion) == found
    assert len(opinion.operators) == 5
    for operator in opinion.parting:
        assert operator.steps is not None and operator.steps > 10
        assert 0.3 < operator.share < 0.7, "the negative elements"


@needs_tvm
@pytest.mark.parametrize("kind, change", [(np.int32, -1), (np.int32, 40), (np.float32, 0.25), (np.int8, 1)])
def test_small_faults(built: Runner, kind: type, change: float) -> None:
    """Another bias, by a part of the result's step; another scale; other weights: what is near a tie tells."""
    model = chain()
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == kind and array.any() and (kind is not np.float32 or array == 4.0):
            changed = np.clip(array, -128, 126) if kind is np.int8 else array
            tensor.CopyFrom(
                onnx.numpy_helper.from_array((changed + np.asarray(change, kind)).astype(kind), tensor.name)
            )
    opinion = judge_all(CutModel(model), built, random_images(model), 1)
    assert {"Conv"} == {operator.op for operator in opinion.parting}


@needs_tvm
def test_ties_are_no_difference() -> None:
    """Shifts of one bit: half of the sums are ties, which TVM rounds up and ONNX Runtime to even."""
    b = QdqBuilder(SHAPE, -5)
    b.conv(np.ones((4, 4, 1, 1), np.int8), weight_exponent=0, exponent=-4)
    opinion = second_opinion(b.build())
    (tied,) = (operator for operator in opinion.operators if operator.op == "Conv")
    assert opinion.agrees and tied.steps == 0
    assert tied.differing > 0.1 * tied.elements


@needs_tvm
@pytest.mark.parametrize("dtype, zero", [("int8", 0), ("uint8", 128), ("uint8", 0)])
def test_it_agrees_where_tvm_is_right(dtype: str, zero: int) -> None:
    """Linear operators in every form, and what TVM reads of a table."""
    b = QdqBuilder(SHAPE, -5, dtype=dtype, zero_point=zero)
    left = b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), pads=[1, 1, 1, 1], exponent=0, weight_scale=0.0123)
    b.relu()
    right = b.conv(weights(RNG, 4, 4, 1, 1), weight_scale=[0.01, 0.02, 0.3, 0.005], exponent=2)
    b.add(left, right, 1)
    b.max_pool(2, strides=[2, 2])
    b.node("Sigmoid", (1, 4, 4, 4), -8)
    b.flatten()
    b.dense(weights(RNG, 5, 64), exponent=-4)
    opinion = second_opinion(b.build())
    assert opinion.agrees, opinion.parting
    assert [operator.op for operator in opinion.operators][1:] == [
        *("Conv", "Relu", "Conv", "Add", "MaxPool", "Sigmoid", "Flatten", "Gemm"),
    ]


@needs_tvm
@pytest.mark.parametrize("make", [chain, lambda: lenet(np.random.default_rng(5))])
def test_showing_the_integers_changes_nothing(make: Callable[[], onnx.ModelProto]) -> None:
    """TVM takes the same operators for Re²Na and computes the same outputs."""
    model = make()
    exposed = CutModel(model).exposed()
    explained = [
        [
            dataclasses.replace(row, crossing_bytes=0)
            for row in pipeline.explain(*pipeline.import_into_tvm(each), Architecture())
        ]
        for each in (model, exposed)
    ]
    assert explained[0] == explained[1]
    image = random_images(model, 1)
    plain, shown = (for_cpu(each).executor()(image) for each in (model, exposed))
    np.testing.assert_array_equal(plain[0], shown[0])
    assert len(shown) == 1 + len(CutModel(model).integers)


@needs_tvm
def test_float_between_integers_and_behind_them() -> None:
    """What is not quantised is held against ONNX Runtime too: its result as integers, or as floats."""
    b = QdqBuilder(SHAPE, -5)
    b.node("Elu", SHAPE, -5)
    b.conv(small_weights(RNG, 4, 4, 1, 1), quantise=False)
    b.relu(-5)
    b.node("Softmax", SHAPE, quantise=False, axis=1)
    opinion = second_opinion(b.build())
    assert [operator.op for operator in opinion.operators] == ["QuantizeLinear", "Elu", "Conv", "Softmax"]
    assert opinion.operators[2].nodes[1:] == ("relu_11",)
    assert opinion.operators[3].steps is None
    assert opinion.agrees, opinion.parting


@needs_tvm
def test_fixed_batch_and_many_images() -> None:
    model = lenet(np.random.default_rng(7), batch=2)
    opinion = second_opinion(model, random_images(model, 3))
    assert opinion.images == 3 and opinion.agrees
    assert opinion.operators[0].elements == 4 * 144, "the last batch is filled up"


def test_the_rounding_of_an_addition() -> None:
    """Each operand whose scale is no multiple of the result's may be half a step off; none otherwise."""
    for exponents, rounding in {(-4, -3, -4): 0.0, (-5, -4, -4): 0.5, (-5, -6, -3): 1.0}.items():
        b = QdqBuilder(SHAPE, exponents[0])
        left = b.current
        right = b.conv(weights(RNG, 4, 4, 1, 1), exponent=exponents[1])
        b.add(left, right, exponents[2])
        assert CutModel(b.build()).sections[-1].rounding == rounding


def test_what_is_a_tie() -> None:
    """Steps of 1/4: 1.5 steps may be 1 or 2, 1.501 may not be 1; NaN may be anything, what is beyond the range only its end."""
    b = QdqBuilder((1, 1, 1, 6), -2)
    section = CutModel(b.build()).sections[0]
    real = np.array([1.5, 1.501, -2.5, np.nan, 1e9, 0.2]) / 4
    made = np.array([2, 1, -2, 77, 126, 0], np.int8)
    theirs = np.array([2, 2, -2, 0, 127, 0], np.int8)
    found = judge(section, made, theirs, real)
    assert (found.differing, found.parting, found.steps) == (3, 2, 1)
    assert judge(section, made, theirs, None).parting == 3, "nobody knows how near to a tie"


def test_what_it_does_not_take() -> None:
    net = FloatNet()
    with pytest.raises(ModelError, match="'net': a second opinion is of QuantizeLinear and DequantizeLinear alone"):
        second_opinion(net.build(net.conv("input", 3, 4)))
    with pytest.raises(DataError, match=r"images: x holds images of 3x8x8, the network takes 4x8x8"):
        second_opinion(chain(), np.zeros((2, 3, 8, 8), np.float32))
