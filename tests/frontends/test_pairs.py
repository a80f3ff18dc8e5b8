"""Differences, maxima and minima of two tensors: on the machine, with the bits of TVM's CPU, also where they saturate and round."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, small_weights
from tests.frontends.whole import run_whole
from tests.models.topologies import quickly_quantized
from tests.quantize.networks import FloatNet
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture, Rounding
from tvm_re2na.onnx_form import normalise

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(41)
EVERY = np.arange(-128, 128)


def every_pair(exponents: tuple[int, int, int], op: str) -> onnx.ModelProto:
    """Of channels that hold all bytes and all bytes reversed: with a step between them, every pair of bytes meets once."""
    b = QdqBuilder((1, 2, 256, 256), exponents[0])
    x = b.current
    left, right = (b.conv(np.eye(2, dtype=np.int8)[[channel]].reshape(1, 2, 1, 1), weight_exponent=0, exponent=exponent,
                          x=x) for channel, exponent in enumerate((exponents[0], exponents[0])))  # fmt: skip
    right = b.conv(
        np.ones((1, 1, 1, 1), np.int8), weight_exponent=exponents[1] - exponents[0], exponent=exponents[1], x=right
    )
    b.sub(left, right, exponents[2]) if op == "Sub" else b.extremum(op, left, right)
    return b.build()


def bytes_of_pairs(exponent: int) -> np.ndarray:
    pairs = np.stack(np.meshgrid(EVERY, EVERY))[None]
    return (pairs * 2.0**exponent).astype(np.float32)


@pytest.mark.parametrize("exponents", [(-6, -6, -6), (-6, -5, -4), (-5, -6, -5), (-6, -6, 3)], ids=str)
def test_every_difference_of_two_bytes(front_end: FrontEnd, exponents: tuple[int, int, int]) -> None:
    model = every_pair(exponents, "Sub")
    module = front_end.load(model)
    partitioned = front_end.partition(module)
    assert "conv2d" in compare(front_end, partitioned, RNG)
    assert [row.offloaded for row in front_end.explain(module) if row.op == "sub"] == [True]
    x = bytes_of_pairs(exponents[0])
    (found,) = front_end.run_re2na(partitioned, [x])
    (on_cpu,) = front_end.run_cpu(front_end.integers(module), [x])
    np.testing.assert_array_equal(found, on_cpu)
    left, right = (x[0] * 2.0 ** -exponents[0]).astype(int)
    shifts = exponents[2] - exponents[0], exponents[2] - exponents[1]
    steps = [(byte + (1 << shift >> 1)) >> shift for byte, shift in zip((left, right), shifts, strict=True)]
    np.testing.assert_array_equal(found[0, 0] * 2.0 ** -exponents[2], np.clip(steps[0] - steps[1], -128, 127))


def test_vectors_clamps_and_a_tensor_less_itself(front_end: FrontEnd) -> None:
    b = QdqBuilder((3, 4, 5, 5), -6)
    x = b.current
    y = b.conv(small_weights(RNG, 4, 4, 3, 3), pads=[1, 1, 1, 1], exponent=-6)
    b.sub(x, y, -5, quantise=False)
    b.relu(-5)
    b.output()
    b.current = y
    flat = b.flatten()
    first = b.dense(small_weights(RNG, 9, 100), exponent=-4, x=flat)
    second = b.dense(small_weights(RNG, 9, 100), exponent=-5, x=flat)
    b.sub(first, second, -4)
    b.output()
    b.sub(second, second)  # a function of one tensor
    b.output()
    module = front_end.load(b.build())
    partitioned = front_end.partition(module)
    compare(front_end, partitioned, RNG)
    assert [row.offloaded for row in front_end.explain(module) if row.op == "sub"] == [True] * 2
    image = RNG.integers(-128, 128, (3, 4, 5, 5)).astype(np.float32) / 64
    on_cpu = front_end.run_cpu(front_end.integers(module), [image])
    for found, expected in zip(front_end.run_re2na(partitioned, [image]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_the_larger_and_the_smaller_of_every_two_bytes(front_end: FrontEnd, op: str) -> None:
    module = front_end.load(every_pair((-6, -6, -6), op))
    partitioned = front_end.partition(module)
    assert "parts_max" in compare(front_end, partitioned, RNG)
    x = bytes_of_pairs(-6)
    (found,) = front_end.run_re2na(partitioned, [x])
    (on_cpu,) = front_end.run_cpu(front_end.integers(module), [x])
    np.testing.assert_array_equal(found, on_cpu)
    np.testing.assert_array_equal(found[0, 0], (np.maximum if op == "Max" else np.minimum)(*x[0]))


def test_extrema_between_others(front_end: FrontEnd) -> None:
    """Of parts of one tensor, of vectors, clamped, beside clamps by a constant; of other scales they stay on the CPU."""
    b = QdqBuilder((2, 4, 5, 5), -6)
    x = b.current
    y = b.conv(small_weights(RNG, 6, 4, 3, 3), pads=[1, 1, 1, 1], exponent=-6)
    b.extremum("Max", b.slice(0, 3, x=y), b.slice(3, 6, x=y), quantise=False)  # as MFM, max feature map
    b.clip(-0.5, 1.0)
    z = b.conv(small_weights(RNG, 4, 3, 3, 3), pads=[1, 1, 1, 1], exponent=-6)
    b.output()
    b.extremum("Min", b.extremum("Max", x, z), b.slice(1, 5, x=y))
    b.output()
    flat = b.flatten()
    b.extremum("Min", *(b.dense(small_weights(RNG, 9, 100), exponent=-4, x=flat) for _ in range(2)))
    b.output()
    coarser = b.conv(small_weights(RNG, 4, 4, 1, 1), exponent=-5, x=x)
    b.extremum("Max", z, coarser)  # in floating point, where nothing is a tie
    b.output()
    module = front_end.load(b.build())
    partitioned = front_end.partition(module)
    kinds = compare(front_end, partitioned, RNG)
    assert kinds.count("parts_max") == 4
    rows = [row for row in front_end.explain(module) if row.op in ("max", "min", "maximum")]
    assert sorted(row.offloaded for row in rows) == [False, True, True, True, True]
    image = RNG.integers(-128, 128, (2, 4, 5, 5)).astype(np.float32) / 64
    on_cpu = front_end.run_cpu(front_end.integers(module), [image])
    for found, expected in zip(front_end.run_re2na(partitioned, [image]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_machine_that_truncates_leaves_what_is_shifted(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    first, second = (b.conv(small_weights(RNG, 4, 4, 1, 1), exponent=exponent) for exponent in (-5, -6))
    b.sub(first, second, -5)
    rows = front_end.explain(front_end.load(b.build()), None, Architecture(rounding=Rounding.TRUNCATE))
    assert [row.rule for row in rows if row.op == "sub"] == ["rounding_mode"]


def test_a_float_network_of_pairs_becomes_one_region(front_end: FrontEnd) -> None:
    del front_end
    net = FloatNet(size=8, seed=5)
    x = net.conv("input", 3, 6, pads=[1, 1, 1, 1])
    y = net.add("Sub", net.add("Relu", net.conv(x, 6, 6, pads=[1, 1, 1, 1])), x)
    y = net.add("Max", y, net.conv(x, 6, 6, 1), net.const(-1.0), net.add("Min", net.conv(x, 6, 6, 1), x))
    model = normalise(net.build(net.conv(net.add("Relu", y), 6, 4)))
    samples = net.rng.normal(0, 1, (8, 3, 8, 8)).astype(np.float32)
    quantized = quickly_quantized(model, samples, Architecture())
    rows, _ = run_whole(quantized, samples[:2])
    for kind, op in (("sub", "Sub"), ("max", "Max"), ("min", "Min")):
        named = [node.name for node in quantized.graph.node if node.op_type == op]
        assert [row.name for row in rows if row.op == kind] == named
