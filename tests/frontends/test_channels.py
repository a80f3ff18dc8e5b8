"""Concatenations, slices, splits and shuffles of channels: on the machine, with the bits of TVM's CPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, small_weights
from tests.frontends.whole import run_whole
from tests.models.topologies import quickly_quantized
from tests.quantize.networks import FloatNet, run
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload import rules

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(21)
Images = npt.NDArray[np.float32]
END = np.iinfo(np.int64).max


def images(*shape: int) -> Images:
    return RNG.integers(-128, 128, shape).astype(np.float32) / np.float32(64)


def moved() -> onnx.ModelProto:
    """Of two to five operands, one of them twice, in any order; parts, reversed and counted from the end; vectors."""
    b = QdqBuilder((2, 6, 5, 5), -6)
    x = b.current
    y = b.conv(small_weights(RNG, 8, 6, 3, 3), pads=[1, 1, 1, 1])
    z = b.conv(small_weights(RNG, 3, 6, 1, 1), x=x)
    b.concat(y, z, x, z, y)
    b.output()
    parts = [b.slice(2, 7, x=y), b.slice(-3, END, 2, x=y), b.slice(END, -END, -1, x=z), b.slice(0, END, x=z)]
    shuffled = b.gather([4, 0, 5, 1, 6, 2, 7, 3], y)
    b.conv(small_weights(RNG, 8, 1, 3, 3), pads=[1, 1, 1, 1], group=8)
    worked = b.concat(*parts, shuffled)
    b.conv(small_weights(RNG, 4, worked.shape[1], 3, 3), exponent=-4)
    flat = b.flatten()
    vectors = b.concat(b.gather([0, 3, 2, 2], flat), flat, b.slice(1, 9, x=flat))
    b.dense(small_weights(RNG, 5, vectors.shape[1]), exponent=-3)
    b.output()
    return b.build()


def same_bits(front_end: FrontEnd, model: onnx.ModelProto, x: Images) -> list[npt.NDArray[np.float32]]:
    """What the machine and TVM's CPU give."""
    module = front_end.load(model)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    for found, expected in zip(front_end.run_re2na(front_end.partition(module), [x]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)
    return on_cpu


def test_channels_are_offloaded_in_one_region(front_end: FrontEnd) -> None:
    model = moved()
    module = front_end.load(model)
    partitioned = front_end.partition(module)
    assert len(front_end.regions(partitioned)) == 1
    kinds = compare(front_end, partitioned, RNG)
    assert (kinds.count("concat"), kinds.count("select")) == (3, 7)
    rows = [row for row in front_end.explain(module) if row.op in ("concat", "take", "strided_slice")]
    assert len(rows) == 10 and all(row.offloaded for row in rows)
    x = images(2, 6, 5, 5)
    joined = same_bits(front_end, model, x)[0]
    y, z = joined[:, :8], joined[:, 8:11]
    np.testing.assert_array_equal(joined, np.concatenate([y, z, x, z, y], 1))
    assert np.abs(joined - run(model, x)).max() <= 2.0**-6  # where a sum is a tie


def test_scales_that_differ_stay_on_the_cpu(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 3, 3), -6)
    x = b.current
    y = b.conv(small_weights(RNG, 4, 4, 1, 1), exponent=-7)
    b.concat(y, x)
    b.conv(small_weights(RNG, 2, 8, 1, 1), exponent=-4)
    kinds = [
        op.kind
        for region in front_end.regions(front_end.partition(front_end.load(b.build())))
        for op in region.graph.ops
    ]
    assert kinds == ["conv2d", "conv2d"]
    same_bits(front_end, b.build(), images(1, 4, 3, 3))


def test_rows_and_columns_one_after_the_other(front_end: FrontEnd) -> None:
    b = QdqBuilder((2, 4, 6, 6), -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), pads=[1, 1, 1, 1])
    y = b.slice(1, 5, axis=2, x=x)
    z = b.concat(x, y, x, axis=2)
    b.conv(small_weights(RNG, 3, 4, 3, 3))
    b.output()
    b.concat(b.slice(0, 6, 2, axis=3, x=z), z, axis=3)
    b.conv(small_weights(RNG, 3, 4, 3, 3))
    b.output()
    partitioned = front_end.partition(front_end.load(b.build()))
    assert len(front_end.regions(partitioned)) == 1
    assert compare(front_end, partitioned, RNG).count("concat_pixels") == 2
    assert {row.rule for row in front_end.explain(front_end.load(b.build())) if not row.offloaded} <= {"host_boundary"}
    same_bits(front_end, b.build(), images(2, 4, 6, 6))


def test_numbered_rows_and_images_stay_on_the_cpu(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), pads=[1, 1, 1, 1])
    part = b.gather([0, 5], axis=3, x=x)
    b.concat(x, x, axis=0)
    b.conv(small_weights(RNG, 3, 4, 3, 3))
    b.output()
    b.current = part
    b.conv(small_weights(RNG, 3, 4, 1, 1))
    b.output()
    rows = [row for row in front_end.explain(front_end.load(b.build())) if row.op in ("concat", "take")]
    assert len(rows) == 2
    for row in rows:
        assert (row.offloaded, row.rule, row.reason) == (False, "channel_axis", rules.reason(rules.channel_axis))
    assert sorted(str(row.value) for row in rows) == ["axis 0", "axis 3"]
    same_bits(front_end, b.build(), images(1, 4, 6, 6))


def test_a_clamp_behind_what_moves_is_not_lost(front_end: FrontEnd) -> None:
    """Within one Q/DQ pair, as other tools write it."""
    b = QdqBuilder((1, 4, 3, 3), -6)
    x = b.conv(small_weights(RNG, 4, 4, 1, 1))
    for move in (
        lambda: b.concat(x, x, quantise=False),
        lambda: b.gather([3, 1], quantise=False),
        lambda: b.slice(1, 4, quantise=False),
        lambda: b.pad(1, 0, 1, 2, quantise=False),
    ):
        b.current = x
        move()
        b.relu()
        b.output()
    for found in same_bits(front_end, b.build(), images(1, 4, 3, 3)):
        assert found.min() == 0


def test_data_that_is_only_moved_stays_on_the_cpu(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 3, 3), -6)
    b.concat(b.gather([2, 0]), b.current)
    module = front_end.load(b.build())
    assert not front_end.regions(front_end.partition(module))
    assert {row.rule for row in front_end.explain(module) if row.op in ("concat", "take")} == {"worthwhile"}


def shuffled_stage(batch: int | str, split: bool) -> tuple[FloatNet, onnx.ModelProto]:
    """Of ShuffleNetV2, its shapes computed from the input's, halves as a Split or as Slices; then a Gather, and vectors."""
    net = FloatNet(size=12, seed=7, batch=batch)

    def shape(x: str, *sizes: int) -> str:
        n = net.add("Gather", net.add("Shape", x), net.const([0], np.int64))
        return net.add("Concat", n, net.const(sizes, np.int64), axis=0)

    def shuffle(x: str) -> str:
        apart = net.add("Reshape", x, shape(x, 2, 8, 6, 6))
        return net.add("Reshape", net.add("Transpose", apart, perm=[0, 2, 1, 3, 4]), shape(x, 16, 6, 6))

    def halves(x: str) -> list[str]:
        if not split:
            bounds = [[net.const([number], np.int64) for number in (start, start + 8, 1)] for start in (0, 8)]
            return [net.add("Slice", x, *given) for given in bounds]
        first = net.add("Split", x, axis=1)
        net.nodes[-1].output.append(f"{first}_second")
        return [first, f"{first}_second"]

    down = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    left = net.add("Relu", net.conv(net.conv("input", 3, 3, group=3, **down), 3, 8, 1))
    x = shuffle(net.add("Concat", left, net.add("Relu", net.conv("input", 3, 8, **down)), axis=1))
    for _ in range(2):
        through, worked = halves(x)
        worked = net.conv(net.add("Relu", net.conv(worked, 8, 8, 1)), 8, 8, pads=[1, 1, 1, 1], group=8)
        x = shuffle(net.add("Concat", through, net.add("Relu", net.conv(worked, 8, 8, 1)), axis=1))
    x = net.add("Gather", net.conv(x, 16, 6), net.const([-1, 0, 2], np.int64), axis=1)
    return net, net.build(net.gemm(net.add("Flatten", x), 3 * 16, 5))


@pytest.mark.parametrize(("batch", "split"), [("N", True), (1, False)])
def test_a_float_network_that_shuffles_becomes_one_region(front_end: FrontEnd, batch: int | str, split: bool) -> None:
    del front_end
    net, model = shuffled_stage(batch, split)
    samples = net.rng.normal(0, 1, (8, 3, 12, 12)).astype(np.float32)
    quantized = quickly_quantized(model, samples, Architecture())
    rows, _ = run_whole(quantized, samples[:2])
    for op, node in (("take", "Gather"), ("strided_slice", "Slice"), ("concat", "Concat")):
        assert [row.name for row in rows if row.op == op] == [
            at.name for at in quantized.graph.node if at.op_type == node
        ]
