"""Every supported form is offloaded, and gives the bits of TVM's CPU."""

from __future__ import annotations

import numpy as np
import pytest

from tests.frontends.harness import FrontEnd, compare
from tests.frontends.qdq import QdqBuilder, biases, lenet, weights

RNG = np.random.default_rng(0)


def _on_cpu(front_end: FrontEnd, module: object) -> list[tuple[str, str | None]]:
    rows = front_end.explain(module)
    return [(row.name, row.rule) for row in rows if not row.offloaded and row.rule != "host_boundary"]


def test_lenet_is_one_function(front_end: FrontEnd) -> None:
    module = front_end.load(lenet(RNG, batch=2))
    partitioned = front_end.partition(module)
    assert compare(front_end, partitioned, RNG) == ["conv2d", "max_pool2d"] * 2 + ["reshape", "dense", "dense"]
    assert _on_cpu(front_end, module) == []
    assert front_end.offloaded_macs_share(partitioned) == 1.0
    assert front_end.partition(partitioned) is partitioned
    assert [row.name for row in front_end.explain(partitioned)] == [row.name for row in front_end.explain(module)]


@pytest.mark.parametrize("lsb", [0, 1, 2, 7, 11, 16])
def test_conv_rounds_as_tvm_at_every_shift(front_end: FrontEnd, lsb: int) -> None:
    b = QdqBuilder((2, 3, 7, 6), -6)
    b.conv(weights(RNG, 5, 3, 3, 2), biases(RNG, 5), exponent=-12 + lsb, strides=[2, 1], pads=[1, 0, 2, 1])
    assert compare(front_end, front_end.partition(front_end.load(b.build())), RNG) == ["conv2d"]


@pytest.mark.parametrize(
    ("groups", "dilations", "pads"),
    [(1, [2, 3], [3, 1, 0, 2]), (2, [1, 1], [0, 0, 0, 0]), (8, [1, 2], [1, 1, 1, 1])],
)
def test_grouped_depthwise_and_dilated_conv(
    front_end: FrontEnd, groups: int, dilations: list[int], pads: list[int]
) -> None:
    b = QdqBuilder((2, 8, 9, 9), -6)
    b.conv(weights(RNG, 16, 8 // groups, 3, 3), None, exponent=-5, group=groups, dilations=dilations, pads=pads)
    assert compare(front_end, front_end.partition(front_end.load(b.build())), RNG) == ["conv2d"]


def test_activations_fuse_before_and_after_the_cut(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), quantise=False)
    b.clip(0, 6, -4)
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), weight_scale=[2.0**-6] * 4, quantise=False)
    b.clip(-0.3, 1, -3)
    b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=-2)
    b.relu()
    b.flatten()
    b.dense(weights(RNG, 6, 64, limit=20), biases(RNG, 6), exponent=-1)
    b.clip(-20, 20)
    module = front_end.partition(front_end.load(b.build()))
    assert compare(front_end, module, RNG) == ["conv2d", "conv2d", "conv2d", "reshape", "dense"]
    graph = front_end.regions(module)[0].graph
    assert [(op.cut.lo, op.cut.hi) for op in graph.ops if hasattr(op, "cut")] == [
        (0, 96),
        (-2, 8),
        (0, 127),
        (-40, 40),
    ]


def test_pools_and_pads(front_end: FrontEnd) -> None:
    b = QdqBuilder((2, 3, 11, 10), -6)
    b.max_pool(3, strides=[2, 2], pads=[1, 0, 0, 1])
    b.max_pool((2, 3), strides=[2, 1], dilations=[2, 1])
    b.pad(2, 0, 1, 3)
    b.max_pool(3, strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    b.pad(1, 1, 0, 0)
    b.conv(weights(RNG, 4, 3, 3, 3), None, exponent=-4)
    kinds = compare(front_end, front_end.partition(front_end.load(b.build())), RNG)
    assert kinds == ["max_pool2d", "max_pool2d", "pad", "max_pool2d", "conv2d"]


def test_what_only_moves_needs_no_scale_of_its_own(front_end: FrontEnd) -> None:
    """As Brevitas writes it: no QuantizeLinear behind a pooling or Flatten, which integers pass through."""
    b = QdqBuilder((2, 3, 9, 9), -6)
    b.conv(weights(RNG, 4, 3, 3, 3), None, exponent=-4)
    b.max_pool(2, strides=[1, 1], quantise=False)
    b.conv(weights(RNG, 4, 4, 3, 3), None, exponent=-4)
    b.max_pool(2, quantise=False)
    b.node("Flatten", (2, 36), quantise=False)
    b.dense(weights(RNG, 6, 36), biases(RNG, 6), exponent=-1)
    module = front_end.load(b.build())
    kinds = ["conv2d", "max_pool2d"] * 2 + ["reshape", "dense"]
    assert compare(front_end, front_end.partition(module), RNG) == kinds
    assert _on_cpu(front_end, module) == []


@pytest.mark.parametrize(("left", "right", "result"), [(-6, -6, -6), (-6, -6, -5), (-7, -5, -4), (-4, -6, -4)])
def test_residual_add(front_end: FrontEnd, left: int, right: int, result: int) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.current
    one = b.conv(weights(RNG, 4, 4, 3, 3), None, exponent=left, pads=[1, 1, 1, 1], x=x)
    two = b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=right, x=x)
    b.add(one, two, result, quantise=False)
    b.relu(result)
    assert sorted(compare(front_end, front_end.partition(front_end.load(b.build())), RNG)) == [
        "add",
        "conv2d",
        "conv2d",
    ]


def test_a_sum_of_a_tensor_with_itself(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=-5)
    b.add(x, x, -4)
    assert compare(front_end, front_end.partition(front_end.load(b.build())), RNG) == ["conv2d", "add"]


def test_a_value_between_an_operator_and_its_clamp_is_read_elsewhere(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=-5)
    b.add(x, b.relu(), -4)
    assert sorted(compare(front_end, front_end.partition(front_end.load(b.build())), RNG)) == ["add", "clip", "conv2d"]
    b = QdqBuilder((1, 4, 6, 6), -6)
    padded = b.pad(1, 1, 1, 1)
    b.add(b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=-5, x=padded), padded, -4)
    assert sorted(compare(front_end, front_end.partition(front_end.load(b.build())), RNG)) == ["add", "conv2d", "pad"]


def test_matmul_and_several_outputs(front_end: FrontEnd) -> None:
    b = QdqBuilder((3, 2, 4, 4), -6)
    b.conv(weights(RNG, 4, 2, 3, 3), biases(RNG, 4), exponent=-4)
    b.output()
    b.reshape((3, 16))
    b.matmul(weights(RNG, 16, 7), exponent=-3)
    b.output()
    module = front_end.partition(front_end.load(b.build()))
    assert len(front_end.regions(module)) == 1
    assert compare(front_end, module, RNG) == ["conv2d", "reshape", "dense"]


@pytest.mark.parametrize("seed", range(8))
def test_random_chains(front_end: FrontEnd, seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = QdqBuilder(
        (int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(6, 12)), int(rng.integers(6, 12))), -6
    )
    for _ in range(3):
        channels, size = b.current.shape[1], min(b.current.shape[2:])
        kernel = [int(k) for k in rng.integers(1, min(size, 4) + 1, 2)]
        pads = [int(p) for p in rng.integers(0, min(kernel) // 2 + 1, 4)]
        strides = [int(s) for s in rng.integers(1, 3, 2)]
        choice = rng.integers(4)
        if choice == 0:
            b.max_pool((kernel[0], kernel[1]), strides=strides, pads=pads, ceil_mode=int(rng.integers(2)))
            continue
        groups = channels if choice == 1 else 1
        outputs = channels * int(rng.integers(1, 3)) if choice == 1 else int(rng.integers(1, 9))
        exponent = round(np.log2(b.current.scale)) - 6 + int(rng.integers(4, 9))
        w = weights(rng, outputs, channels // groups, *kernel)
        b.conv(
            w, biases(rng, outputs), group=groups, strides=strides, pads=pads, quantise=choice == 2, exponent=exponent
        )
        if choice != 2:
            b.relu(exponent)
    b.flatten()
    b.dense(weights(rng, 5, b.current.shape[1]), biases(rng, 5), exponent=round(np.log2(b.current.scale)) + 2)
    compare(front_end, front_end.partition(front_end.load(b.build())), rng)
