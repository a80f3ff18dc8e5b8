"""Nearest-neighbour upsampling by whole factors: on the machine, with the bits of TVM's CPU; any other resizing stays there."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, small_weights
from tests.frontends.whole import run_whole
from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import snr
from tvm_re2na import frontends
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.pixels import Upsample2d
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.operator import Tensor
from tvm_re2na.frontends.common.description import resize2d
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(20)
Images = npt.NDArray[np.float32]

# as exporters write it: (rows, columns, how)
REPEATED: list[tuple[int, int, dict[str, Any]]] = [
    (2, 2, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    (2, 2, {"coordinate_transformation_mode": "asymmetric"}),
    (3, 1, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "sizes": True}),
    (1, 5, {}),
    (4, 3, {"coordinate_transformation_mode": "half_pixel", "sizes": True}),
    (2, 3, {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}),
    (2, 7, {"coordinate_transformation_mode": "pytorch_half_pixel"}),
]
OTHER: list[tuple[int, int, dict[str, Any]]] = [
    (2, 2, {"mode": "linear"}),
    (3, 3, {"coordinate_transformation_mode": "asymmetric"}),  # rounded, two thirds are one pixel further
    (2, 2, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"}),
    (2, 2, {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}),
    (2, 2, {"coordinate_transformation_mode": "align_corners"}),
]


def resized(cases: list[tuple[int, int, dict[str, Any]]]) -> onnx.ModelProto:
    """One convolution, and all of these resizings of its result, each behind a convolution of its own, as outputs."""
    b = QdqBuilder((2, 2, 3, 5), -6)
    x = b.conv(small_weights(RNG, 4, 2, 3, 3), exponent=-5, pads=[1, 1, 1, 1])
    for rows, columns, how in cases:
        b.current = x
        b.resize(rows, columns, **how)
        b.conv(small_weights(RNG, 3, 4, 3, 3), exponent=-4)
        b.output()
    return b.build()


def clamped() -> onnx.ModelProto:
    """A clamp in the resizing's own form, another behind it, and no operator before it."""
    b = QdqBuilder((1, 3, 4, 4), -6)
    b.resize(2, 3, quantise=False)
    b.clip(-1.0, 1.5)
    b.relu()
    b.conv(small_weights(RNG, 4, 3, 3, 3), exponent=-4)
    return b.build()


def images(*shape: int) -> Images:
    return RNG.integers(-128, 128, shape).astype(np.float32) / np.float32(64)


def test_repeated_pixels_are_offloaded(front_end: FrontEnd) -> None:
    model = resized(REPEATED)
    module = front_end.load(model)
    partitioned = front_end.partition(module)
    assert len(front_end.regions(partitioned)) == 1
    assert compare(front_end, partitioned, RNG).count("resize2d") == len(REPEATED)
    rows = [row for row in front_end.explain(module) if row.op == "resize2d"]
    assert {row.offloaded for row in rows} == {True}
    x = images(2, 2, 3, 5)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    for found, expected in zip(front_end.run_re2na(partitioned, [x]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_clamps_behind_it_are_part_of_it(front_end: FrontEnd) -> None:
    module = front_end.load(clamped())
    partitioned = front_end.partition(module)
    (region,) = front_end.regions(partitioned)
    ops = fold(region.graph).ops
    assert [op.kind for op in ops] == ["resize2d", "conv2d"]
    assert isinstance(ops[0], Upsample2d) and (ops[0].lo, ops[0].hi) == (0, 96)
    compare(front_end, partitioned, RNG)
    x = images(1, 3, 4, 4)
    expected = front_end.run_cpu(front_end.integers(module), [x])
    np.testing.assert_array_equal(front_end.run_re2na(partitioned, [x])[0], expected[0])


def test_every_copy_is_the_pixel_of_onnx_runtime(front_end: FrontEnd) -> None:
    """Integers on their own, so that each of either TVM's is seen; rows so long that floats have no more bits for halves."""
    for size, (rows, columns, how) in zip((7, 9, 200, 700, 120, 64, 1), REPEATED, strict=True):
        b = QdqBuilder((1, 1, 2, size), -6)
        b.resize(rows, columns, **how)
        x = images(1, 1, 2, size)
        module = front_end.load(b.build())
        (found,) = front_end.run_cpu(front_end.integers(module), [x])
        np.testing.assert_array_equal(found, x.repeat(rows, 2).repeat(columns, 3))
        np.testing.assert_array_equal(found, run(b.build(), x))


@pytest.mark.parametrize("place", ["asymmetric", "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_factors_are_found_where_every_pixel_says_so(place: str, rounding: str) -> None:
    """By ONNX's formulas, pixel by pixel."""
    half, back = Fraction(place != "asymmetric", 2), Fraction("half_pixel" in place and "tf" not in place, 2)
    nearest = {
        "floor": floor,
        "ceil": ceil,
        "round_prefer_floor": lambda x: ceil(x - Fraction(1, 2)),
        "round_prefer_ceil": lambda x: floor(x + Fraction(1, 2)),
    }[rounding]
    attrs = SimpleNamespace(
        method="nearest_neighbor", layout="NCHW", coordinate_transformation_mode=place, rounding_method=rounding
    )
    for size, longer in product(range(1, 5), range(1, 29)):
        found = resize2d(attrs, (), Tensor((1, 1, size, 1)), (1, 1, longer, 1), Tensor((1, 1, longer, 1)), None).factors
        places = [nearest((x + half) * Fraction(size, longer) - back) for x in range(longer)]
        pixels = [min(max(pixel, 0), size - 1) for pixel in places]
        repeated = longer % size == 0 and pixels == [x // (longer // size) for x in range(longer)]
        assert found == ((longer // size, 1) if repeated else None), (size, longer)


def test_any_other_resizing_stays_on_the_cpu(front_end: FrontEnd) -> None:
    rows = [row for row in front_end.explain(front_end.load(resized(OTHER))) if "resize" in row.op]
    assert len(rows) == len(OTHER)
    for row in rows:
        assert (row.offloaded, row.rule, row.reason) == (False, "repeated_pixels", rules.reason(rules.repeated_pixels))


def test_what_is_between_the_parts_on_the_cpu(front_end: FrontEnd) -> None:
    """Other pixels: floats between integers."""
    module = front_end.load(resized([case for case in OTHER if "mode" not in case[2]]))
    x = images(2, 2, 3, 5)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    for found, expected in zip(front_end.run_re2na(front_end.partition(module), [x]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)


def decoder(net: FloatNet, how: dict[str, Any]) -> onnx.ModelProto:
    """A segmentation network: down, up again, and a skip connection."""
    fine = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    coarse = net.add("Relu", net.conv(fine, 8, 16, pads=[1, 1, 1, 1], strides=[2, 2]))
    coarse = net.conv(coarse, 16, 8, kernel=1)
    up = net.add("Resize", coarse, "", net.const([1, 1, 2, 2]), **how)
    joined = net.add("Relu", net.add("Add", up, fine))
    twice = net.add("Resize", net.conv(joined, 8, 4, pads=[1, 1, 1, 1]), "", net.const([1, 1, 2, 2]), **how)
    return net.build(net.conv(twice, 4, 2, pads=[1, 1, 1, 1]))


def test_a_float_decoder_becomes_one_region(front_end: FrontEnd) -> None:
    del front_end
    net = FloatNet(size=16, seed=4)
    model = decoder(net, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})
    samples = net.images(16)
    rows, found = run_whole(quantize(model, samples).model, samples[:2])
    nodes = [node.name for node in model.graph.node if node.op_type == "Resize"]
    assert [row.name for row in rows if row.op == "resize2d"] == nodes
    for image, result in zip(samples[:2, None], found, strict=True):
        assert snr(result, run(model, image)) > 24
