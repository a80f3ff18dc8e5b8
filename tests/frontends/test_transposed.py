"""Transposed convolutions: on the machine without a multiplication by zero, with the bits of TVM's CPU and of NumPy's integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, biases, small_weights
from tests.frontends.whole import run_whole
from tests.graph_eval import WIDE, evaluate
from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import snr
from tvm_re2na import frontends
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d, as_convolution
from tvm_re2na.codegen.offload import rules
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(22)
Images = npt.NDArray[np.float32]
SHAPE = (2, 4, 5, 3)

# (outputs of a group, kernel, ONNX's attributes)
FORMS: list[tuple[int, tuple[int, int], dict[str, Any]]] = [
    (6, (2, 2), {"strides": [2, 2]}),
    (70, (3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    (5, (4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (3, (1, 2), {"strides": [3, 3], "output_padding": [2, 1]}),
    (3, (5, 3), {"strides": [1, 2], "pads": [3, 0, 0, 2]}),
    (3, (3, 3), {}),
    (1, (3, 3), {"strides": [2, 2], "pads": [0, 1, 2, 0], "group": 4}),
    (3, (2, 3), {"strides": [2, 1], "group": 2}),
]


def transposed(forms: list[tuple[int, tuple[int, int], dict[str, Any]]]) -> onnx.ModelProto:
    """One convolution, and all of these of its result, as outputs; every other with a bias and a clamp."""
    b = QdqBuilder(SHAPE, -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), exponent=-5, pads=[1, 1, 1, 1])
    for index, (outputs, kernel, attributes) in enumerate(forms):
        b.current, groups = x, attributes.get("group", 1)
        b.conv_transpose(
            as_convolution(small_weights(RNG, outputs * groups, 4 // groups, *kernel), groups),
            biases(RNG, outputs * groups) if index % 2 else None,
            exponent=-4,
            quantise=index % 2 == 0,
            **attributes,
        )
        if index % 2:
            b.clip(-1.5, 3.0, -4)
        b.output()
    return b.build()


def images(*shape: int) -> Images:
    return RNG.integers(-128, 128, shape).astype(np.float32) / np.float32(64)


def test_all_forms_are_offloaded(front_end: FrontEnd) -> None:
    module = front_end.load(transposed(FORMS))
    partitioned = front_end.partition(module)
    (region,) = front_end.regions(partitioned)
    assert compare(front_end, partitioned, RNG).count("conv2d_transpose") == len(FORMS)
    made = [op for op in fold(region.graph).ops if isinstance(op, ConvTranspose2d)]
    assert [(op.cut.lo, op.cut.hi) for op in made] == [(-128, 127), (-24, 48)] * (len(FORMS) // 2)
    rows = [row for row in front_end.explain(module) if row.op == "conv2d_transpose"]
    assert {row.offloaded for row in rows} == {True} and len(rows) == len(FORMS)
    x = images(*SHAPE)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    for found, expected in zip(front_end.run_re2na(partitioned, [x]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert 0.5 < front_end.offloaded_macs_share(partitioned) <= 1


def test_the_integers_are_those_of_numpy(front_end: FrontEnd) -> None:
    """TVM's own, of the whole network on its CPU."""
    model = transposed(FORMS)
    module = front_end.load(model)
    (region,) = front_end.regions(front_end.partition(module))
    x = images(*SHAPE)
    steps = np.clip(np.round(x * 64), -128, 127).astype(np.int8)
    wanted = evaluate(region.graph, [steps], WIDE)
    for found, integers in zip(front_end.run_cpu(front_end.integers(module), [x]), wanted, strict=True):
        np.testing.assert_array_equal(found, integers * np.float32(2.0**-4))


def test_a_dilated_one_stays_on_the_cpu(front_end: FrontEnd) -> None:
    rows = front_end.explain(front_end.load(transposed([(3, (2, 2), {"dilations": [2, 1], "strides": [2, 2]})])))
    (row,) = (row for row in rows if row.op == "conv2d_transpose")
    assert (row.offloaded, row.rule, row.value) == (False, "interleaved_results", "dilation 2x1")
    assert row.reason == rules.reason(rules.interleaved_results)


def decoder(net: FloatNet) -> onnx.ModelProto:
    """A U-Net of one level, its skip connection added: down, up again."""
    fine = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    coarse = net.add("Relu", net.conv(fine, 8, 16, pads=[1, 1, 1, 1], strides=[2, 2]))
    weight = net.random(16, 8, 2, 2, scale=0.2)
    up = net.add("Relu", net.add("ConvTranspose", coarse, weight, net.random(8, scale=0.1), strides=[2, 2]))
    return net.build(net.conv(net.add("Add", up, fine), 8, 2, kernel=1))


def test_a_float_decoder_becomes_one_region(front_end: FrontEnd) -> None:
    del front_end
    net = FloatNet(size=16, seed=4)
    model = decoder(net)
    samples = net.images(16)
    rows, found = run_whole(quantize(model, samples).model, samples[:2])
    nodes = [node.name for node in model.graph.node if node.op_type == "ConvTranspose"]
    assert [row.name for row in rows if row.op == "conv2d_transpose"] == nodes
    for image, result in zip(samples[:2, None], found, strict=True):
        assert snr(result, run(model, image)) > 24
