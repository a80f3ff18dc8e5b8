"""Products of two activations: by one factor for each channel on the machine, with the bits of TVM's CPU; any other stays there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, Tensor, small_weights
from tests.frontends.whole import run_whole
from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import snr
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.channels import ScaleChannels
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
LOOKING = Architecture(activation_table=1)
RNG = np.random.default_rng(21)
Images = npt.NDArray[np.float32]
SHAPE = (2, 3, 5, 6)


def gates(b: QdqBuilder, x: Tensor, exponent: int) -> Tensor:
    """One number for each image and channel: the maximum of 4 convolutions' pixels, and their convolution."""
    b.current = x
    b.max_pool(x.shape[2:])
    return b.conv(small_weights(RNG, x.shape[1], x.shape[1], 1, 1), exponent=exponent)


def products() -> onnx.ModelProto:
    """Every way in which a channel has its factor, each an output: after and before the data, of every cut, with clamps in the
    form and behind it, of itself, of vectors."""
    b = QdqBuilder(SHAPE, -6)
    x = b.conv(small_weights(RNG, 70, 3, 3, 3), exponent=-5, pads=[1, 1, 1, 1])
    for exponent in (-11, -7, -4, 4):
        factors = gates(b, x, -6)
        b.mul(x, factors, exponent)
        b.output()
    b.mul(factors, x, -5, quantise=False)
    b.clip(-0.5, 2.0, -5)
    b.output()
    b.mul(factors, factors, -4)
    b.relu()
    b.output()
    b.current = factors
    vectors = b.flatten()
    b.mul(vectors, vectors, -6)
    b.output()
    return b.build()


def others() -> onnx.ModelProto:
    """What the machine does not take, each an output."""
    b = QdqBuilder(SHAPE, -6)
    x = b.conv(small_weights(RNG, 4, 3, 1, 1), exponent=-5)
    y = b.conv(small_weights(RNG, 4, 4, 1, 1), exponent=-5)
    one = b.conv(small_weights(RNG, 1, 4, 1, 1), exponent=-5)
    factors = gates(b, x, -6)
    for left, right, exponent in ((x, y, -4), (x, one, -4), (x, factors, -12), (x, x, -3)):
        b.mul(left, right, exponent)
        b.output()
    return b.build()


def images(*shape: int) -> Images:
    return RNG.integers(-128, 128, shape).astype(np.float32) / np.float32(64)


def same_on_both(front_end: FrontEnd, module: object) -> list[npt.NDArray[np.float32]]:
    x = images(*SHAPE)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    found = front_end.run_re2na(front_end.partition(module), [x])
    for machine, exact in zip(found, on_cpu, strict=True):
        np.testing.assert_array_equal(machine, exact)
    return found


def test_a_factor_for_each_channel_is_offloaded(front_end: FrontEnd) -> None:
    model = products()
    module = front_end.load(model)
    partitioned = front_end.partition(module)
    (region,) = front_end.regions(partitioned)
    scaled = [op for op in fold(region.graph).ops if isinstance(op, ScaleChannels)]
    assert [op.cut.lsb for op in scaled] == [0, 4, 7, 15, 6, 8, 6]
    assert (scaled[4].cut.lo, scaled[4].cut.hi, scaled[5].cut.lo) == (-16, 64, 0)
    assert compare(front_end, partitioned, RNG).count("mul") == len(scaled)
    rows = [row for row in front_end.explain(module) if row.op == "mul"]
    assert {row.offloaded for row in rows} == {True}
    same_on_both(front_end, module)


def test_any_other_product_stays_on_the_cpu(front_end: FrontEnd) -> None:
    """In integers there as well: those of NumPy."""
    model = others()
    module = front_end.load(model)
    rows = [row for row in front_end.explain(module) if row.op == "mul"]
    found = {(row.rule, row.value, row.limit) for row in rows}
    wanted = "(N, C, H, W) and (N, C, 1, 1)"
    both = {(f"2x4x5x6 and {shape}", wanted) for shape in ("2x4x5x6", "2x1x5x6")}
    assert found == {("one_factor_for_each_channel", *values) for values in both} | {("shift_range", -1, "0..16")}
    assert {row.offloaded for row in rows} == {False} and len(rows) == 4
    same_on_both(front_end, module)


def test_the_integers_are_those_of_numpy(front_end: FrontEnd) -> None:
    """Of the cut products of two of the network's inputs, halves upward, on the CPU."""
    for exponent in (-12, -11, -6, -3):
        b = QdqBuilder((2, 3, 16, 16), -6)
        x = b.current
        b.max_pool(16)
        b.mul(x, b.current, exponent)
        given = images(2, 3, 16, 16)
        steps = np.round(given * 64).astype(np.int64)
        lsb = exponent + 12
        products = steps * steps.max((2, 3), keepdims=True) + ((1 << lsb) >> 1)
        module = front_end.load(b.build())
        (found,) = front_end.run_cpu(front_end.integers(module), [given])
        np.testing.assert_array_equal(found, np.clip(products >> lsb, -128, 127) * 2.0**exponent)


def excited(net: FloatNet, gate: str, **attributes: float) -> onnx.ModelProto:
    """A convolution, squeeze-and-excitation, a convolution."""
    x = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    squeezed = net.add("GlobalAveragePool", x)
    narrow = net.add("Relu", net.conv(squeezed, 8, 4, kernel=1))
    factors = net.add(gate, net.conv(narrow, 4, 8, kernel=1), **attributes)
    return net.build(net.conv(net.add("Mul", factors, x), 8, 6, pads=[1, 1, 1, 1]))


@pytest.mark.parametrize(("gate", "regions"), [("HardSigmoid", 1), ("Sigmoid", 2)])
def test_squeeze_and_excitation(front_end: FrontEnd, gate: str, regions: int) -> None:
    """All but a gate that is no clip runs on the machine, and that as well where it has a table."""
    del front_end
    net = FloatNet(size=16, seed=4)
    model = excited(net, gate)
    samples = net.images(16)
    quantized = quantize(model, samples).model
    rows, found = run_whole(quantized, samples[:2], regions, on_cpu=["lookup"])
    assert [row.name for row in rows if row.op == "mul"] == [n.name for n in model.graph.node if n.op_type == "Mul"]
    assert len(pipeline.build_for_re2na(*pipeline.import_into_tvm(quantized, 1), LOOKING).programs) == 1
    for image, result in zip(samples[:2, None], found, strict=True):
        assert snr(result, run(model, image)) > 24
