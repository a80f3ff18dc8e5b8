"""What cannot be offloaded stays on the CPU, and the rule, the value and the limit say why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, weights
from tvm_re2na.codegen.arch import Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.explanation import Explanation

RNG = np.random.default_rng(1)


def conv(exponent: int = -4, bias: int = 1000, **options: object) -> onnx.ModelProto:
    b = QdqBuilder((1, 3, 8, 8), -6)
    b.conv(weights(RNG, 4, 3, 3, 3), biases(RNG, 4, bias), exponent=exponent, **options)
    return b.build()


def uint8() -> onnx.ModelProto:
    b = QdqBuilder((1, 3, 8, 8), -6, dtype="uint8")
    b.conv(weights(RNG, 4, 3, 3, 3), None, exponent=-4)
    return b.build()


def zero_point() -> onnx.ModelProto:
    b = QdqBuilder((1, 3, 8, 8), -6, zero_point=3)
    b.conv(weights(RNG, 4, 3, 3, 3), None, exponent=-4)
    return b.build()


def broadcast_add() -> onnx.ModelProto:
    b = QdqBuilder((1, 3, 1, 8), -6)
    x = b.current
    b.add(b.conv(weights(RNG, 3, 3, 1, 8), None, exponent=-6, x=x), x)
    return b.build()


def wide_holes() -> onnx.ModelProto:
    b = QdqBuilder((1, 1, 2, 300), -6)
    b.conv(weights(RNG, 1, 1, 1, 2), None, exponent=-2, dilations=[1, 256])
    return b.build()


def other_batch() -> onnx.ModelProto:
    b = QdqBuilder((2, 4, 4, 4), -6)
    b.conv(weights(RNG, 4, 4, 3, 3), None, exponent=-4)
    b.reshape((1, 32))
    return b.build()


def wide_rows() -> onnx.ModelProto:
    b = QdqBuilder((1, 1, 1, 65536), -6)
    b.conv(weights(RNG, 1, 1, 1, 1), None, exponent=-4)
    return b.build()


def padding_of_images() -> onnx.ModelProto:
    b = QdqBuilder((1, 2, 4, 4), -6)
    b.pad(1, 1, 1, 1, images=1)
    b.conv(weights(RNG, 3, 2, 3, 3), None, exponent=-4)
    return b.build()


CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, str, object]] = {
    "uint8 data": (uint8, "conv2d", "int8_data", "uint8"),
    "zero point": (zero_point, "conv2d", "zero_points", 3),
    "scale": (lambda: conv(weight_scale=0.01), "conv2d", "power_of_two_scales", None),
    "per channel": (lambda: conv(weight_scale=[0.25, 0.5, 0.25, 1]), "conv2d", "per_tensor_scales", None),
    "negative shift": (lambda: conv(exponent=-14), "conv2d", "shift_range", -2),
    "large shift": (lambda: conv(exponent=5), "conv2d", "shift_range", 17),
    "bias": (lambda: conv(bias=200_000), "conv2d", "bias_fits", None),
    "broadcast": (broadcast_add, "add", "equal_shapes", "1x3x1x1 and 1x3x1x8"),
    "dilation": (wide_holes, "conv2d", "window_fields", "dilation_w 256"),
    "batch": (other_batch, "reshape", "batch_stays", 1),
    "size": (wide_rows, "conv2d", "size_fields", "in_w 65536"),
    "padding": (padding_of_images, "pad", "constant_padding", "padding of images, or negative"),
}


@pytest.mark.parametrize("case", CASES)
def test_rule_value_and_limit(front_end: FrontEnd, case: str) -> None:
    make, op, rule, value = CASES[case]
    module = front_end.load(make())
    row = next(row for row in front_end.explain(module) if row.op == op and not row.offloaded)
    assert row.rule == rule
    assert row.reason == rules.reason(getattr(rules, rule))
    assert row.limit is not None
    if value is not None:
        assert row.value == value


def test_rejected_operators_are_unchanged(front_end: FrontEnd) -> None:
    module = front_end.load(conv(exponent=-14))
    partitioned = front_end.partition(module)
    assert not front_end.regions(partitioned)
    assert front_end.offloaded_macs_share(partitioned) == 0.0
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        front_end.run_cpu(partitioned, [x])[0], front_end.run_cpu(front_end.integers(module), [x])[0]
    )


def test_dynamic_batch(front_end: FrontEnd) -> None:
    b = QdqBuilder(("batch", 3, 8, 8), -6)
    b.conv(weights(RNG, 4, 3, 3, 3), biases(RNG, 4), exponent=-4)
    row = only(front_end.explain(front_end.load(b.build())), "conv2d")
    assert (row.rule, row.value) == ("static_shapes", "?x3x8x8")


def test_float_operators(front_end: FrontEnd) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="c"), helper.make_node("Softmax", ["y"], ["z"], name="s")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])]
    weight = onnx.numpy_helper.from_array(np.ones((2, 2, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        nodes, "f", inputs, [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)], [weight]
    )
    module = front_end.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    rows = front_end.explain(module)
    assert [row.rule for row in rows] == ["quantised", "quantised"]
    assert not front_end.regions(front_end.partition(module))


def test_rank_3_and_lonely_reshape(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 4, 4), -6)
    b.conv(weights(RNG, 4, 4, 3, 3), None, exponent=-4)
    b.reshape((1, 4, 4))
    b.reshape((1, 16))
    assert [(row.op, row.rule) for row in front_end.explain(front_end.load(b.build())) if row.op == "reshape"] == [
        ("reshape", "tensor_rank"),
        ("reshape", "tensor_rank"),
    ]
    b = QdqBuilder((1, 4, 4, 4), -6)
    b.flatten()
    assert only(front_end.explain(front_end.load(b.build())), "reshape").rule == "worthwhile"


def test_raw_residual_add_does_not_crash(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.current
    b.add(b.conv(weights(RNG, 4, 4, 1, 1), None, x=x, quantise=False, weight_scale=[0.5, 1, 2, 4]), x)
    module = front_end.load(b.build())
    assert isinstance(front_end.explain(module), list)
    front_end.partition(module)


@pytest.mark.parametrize(
    ("arch", "rule"),
    [
        (Architecture(cut_overflow=CutOverflow.WRAP), "saturating_cut"),
        (Architecture(data_bits=7), "data_width"),
        (Architecture(acc_bits=8), "bias_fits"),
        (Architecture(sram_bytes=1024), "fits_sram"),
    ],
)
def test_rules_follow_the_architecture(front_end: FrontEnd, arch: Architecture, rule: str) -> None:
    b = QdqBuilder((1, 16, 8, 8), -6)
    b.conv(weights(RNG, 32, 16, 3, 3), biases(RNG, 32), exponent=-5)
    assert only(front_end.explain(front_end.load(b.build()), None, arch), "conv2d").rule == rule


def test_an_addition_that_shifts_needs_rounding(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    first, second = (b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=exponent) for exponent in (-5, -6))
    b.add(first, second, exponent=-5)
    row = only(front_end.explain(front_end.load(b.build()), None, Architecture(rounding=Rounding.TRUNCATE)), "add")
    assert (row.rule, row.value, row.limit) == ("rounding_mode", "truncate", "half_up")


def test_what_is_constant_or_of_another_rank_still_computes(front_end: FrontEnd) -> None:
    """An addition of a constant, a product of rank 3, a scale of 0: not offloaded, and the same numbers as before."""
    b = QdqBuilder((2, 4, 6), -6)
    b.matmul(weights(RNG, 6, 5, limit=20), exponent=-4)
    b.output()
    x = b.current
    b.add(x, b.constant(weights(RNG, 2, 4, 5), -4), -3)
    b.output()
    module = front_end.load(b.build())
    partitioned = front_end.partition(module)
    assert not front_end.regions(partitioned)
    x = RNG.integers(-128, 128, (2, 4, 6)).astype(np.float32) / 64
    for found, expected in zip(
        front_end.run_cpu(partitioned, [x]), front_end.run_cpu(front_end.integers(module), [x]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(found)) > 5


def test_every_rule_has_a_reason() -> None:
    for _, rule in rules.RULES:
        assert rules.reason(rule).endswith("."), rule.__name__


def only(rows: list[Explanation], op: str) -> Explanation:
    (row,) = [row for row in rows if row.op == op]
    assert not row.offloaded
    return row
