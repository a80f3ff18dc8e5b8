"""Rows and columns left out or added, blocks of pixels out of channels: on the machine, with the bits of TVM's CPU."""

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
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.onnx_form import normalise

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
RNG = np.random.default_rng(31)
END = np.iinfo(np.int64).max
Images = npt.NDArray[np.float32]


def images(*shape: int) -> Images:
    return RNG.integers(-128, 128, shape).astype(np.float32) / np.float32(64)


def same_bits(front_end: FrontEnd, model: onnx.ModelProto, x: Images) -> None:
    """Of the machine, TVM's CPU, and ONNX Runtime where nothing is a tie."""
    module = front_end.load(model)
    on_cpu = front_end.run_cpu(front_end.integers(module), [x])
    for found, expected in zip(front_end.run_re2na(front_end.partition(module), [x]), on_cpu, strict=True):
        np.testing.assert_array_equal(found, expected)


def kinds_in_one_region(front_end: FrontEnd, model: onnx.ModelProto) -> list[str]:
    module = front_end.load(model)
    partitioned = front_end.partition(module)
    assert len(front_end.regions(partitioned)) == 1
    assert {row.rule for row in front_end.explain(module) if not row.offloaded} <= {"host_boundary"}
    return compare(front_end, partitioned, RNG)


def test_every_nth_row_and_column_and_channels_with_them(front_end: FrontEnd) -> None:
    b = QdqBuilder((2, 6, 9, 7), -6)
    x = b.conv(small_weights(RNG, 6, 6, 3, 3), pads=[1, 1, 1, 1])
    b.slice(1, 8, 3, axis=2)
    b.slice(-6, -1, axis=3)
    b.conv(small_weights(RNG, 3, 6, 2, 2))
    b.output()
    b.slice(0, 100, 2, axis=3, x=x)
    b.slice(4, 1, -1, axis=1)
    b.output()
    b.slice(8, 9, axis=2, x=x)
    b.conv(small_weights(RNG, 3, 6, 1, 1))
    b.output()
    assert kinds_in_one_region(front_end, b.build()).count("pad") == 4
    same_bits(front_end, b.build(), images(2, 6, 9, 7))


def test_padding_by_any_number_and_of_channels(front_end: FrontEnd) -> None:
    b = QdqBuilder((2, 4, 5, 6), -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), pads=[1, 1, 1, 1])
    for settings in (
        {"value": 0.25},
        {"value": -1.0, "channels": (0, 3)},
        {"channels": (2, 1)},
        {"value": 100.0},  # saturates
    ):
        b.current = x
        b.pad(1, 0, 2, 3, **settings)
        b.output()
    b.current = x
    b.pad(0, 0, 0, 0, channels=(4, 4))
    b.conv(small_weights(RNG, 3, 12, 3, 3))
    b.output()
    kinds = kinds_in_one_region(front_end, b.build())
    assert (kinds.count("pad"), kinds.count("conv2d")) == (4, 5)
    same_bits(front_end, b.build(), images(2, 4, 5, 6))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_blocks_of_pixels(front_end: FrontEnd, mode: str) -> None:
    b = QdqBuilder((2, 3, 5, 4), -6)
    b.conv(small_weights(RNG, 27, 3, 3, 3), pads=[1, 1, 1, 1])
    b.depth_to_space(3, mode, quantise=False)
    b.clip(-0.5, 1.0)
    b.output()
    b.conv(small_weights(RNG, 8, 3, 3, 3))
    b.depth_to_space(2, mode)
    b.output()
    model, x = b.build(), images(2, 3, 5, 4)
    assert kinds_in_one_region(front_end, model).count("depth_to_space") == 2
    same_bits(front_end, model, x)
    moved = onnx.helper.make_model(onnx.helper.make_graph([
        onnx.helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=3, mode=mode)], "d",
        [onnx.helper.make_tensor_value_info("x", 1, (2, 27, 2, 2))],
        [onnx.helper.make_tensor_value_info("y", 1, (2, 3, 6, 6))]), opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8)  # fmt: skip
    b = QdqBuilder((2, 27, 2, 2), -6)
    b.depth_to_space(3, mode)
    b.max_pool(1)
    given = images(2, 27, 2, 2)
    (found,) = front_end.run_re2na(front_end.partition(front_end.load(b.build())), [given])
    np.testing.assert_array_equal(found, run(moved, given))


def super_resolution(net: FloatNet) -> onnx.ModelProto:
    """YOLOv5's Focus, as torch exports it, rows and then columns; pixels taken apart; PixelShuffle as three operators."""

    def part(x: str, start: int, axis: int) -> str:
        return net.add("Slice", x, *(net.const([number], np.int64) for number in (start, END, axis, 2)))

    def apart(x: str, between: list[int], order: list[int], result: list[int]) -> str:
        turned = net.add("Transpose", net.add("Reshape", x, net.const(between, np.int64)), perm=order)
        return net.add("Reshape", turned, net.const(result, np.int64))

    parts = [part(part("input", y, 2), x, 3) for x in (0, 1) for y in (0, 1)]
    x = net.add("Relu", net.conv(net.add("Concat", *parts, axis=1), 12, 8, pads=[1, 1, 1, 1]))
    x = net.add("Relu", net.conv(apart(x, [-1, 8, 4, 2, 4, 2], [0, 1, 3, 5, 2, 4], [-1, 32, 4, 4]), 32, 12, 1))
    x = net.conv(apart(x, [-1, 3, 2, 2, 4, 4], [0, 1, 4, 2, 5, 3], [-1, 3, 8, 8]), 3, 8, pads=[1, 1, 1, 1])
    x = net.add("DepthToSpace", net.add("Relu", x), blocksize=2)
    x = net.add("Pad", x, net.const([0, 0, -2, 1, 0, 2, -2, -3], np.int64), net.const(0.5))
    return net.build(net.conv(x, 4, 2))


def test_a_float_network_of_blocks_becomes_one_region(front_end: FrontEnd) -> None:
    del front_end
    net = FloatNet(size=16, seed=9)
    model = normalise(super_resolution(net))
    samples = net.rng.normal(0, 1, (8, 3, 16, 16)).astype(np.float32)
    quantized = quickly_quantized(model, samples, Architecture())
    rows, _ = run_whole(quantized, samples[:2])
    names = {row.name for row in rows}
    assert names >= {node.name for node in quantized.graph.node if node.op_type in ("DepthToSpace", "Slice", "Gather")}
    ((_, program),) = pipeline.compile_for_re2na(*pipeline.import_into_tvm(quantized, 1), Architecture()).programs
    kinds = [step.name for step in program.instructions]
    assert kinds.count("POOL") <= 2 * 4 + 2, "blocks in front of convolutions move nothing"


def test_quantised_blocks_become_one_region(front_end: FrontEnd) -> None:
    """As another tool has them, each between a Q and a DQ."""
    b = QdqBuilder((1, 3, 8, 8), -6)
    b.node("SpaceToDepth", (1, 12, 4, 4), blocksize=2)
    b.conv(small_weights(RNG, 8, 12, 3, 3), pads=[1, 1, 1, 1])
    b.reshape((1, 2, 2, 2, 4, 4))
    b.node("Transpose", (1, 2, 4, 2, 4, 2), perm=[0, 1, 4, 2, 5, 3])
    b.reshape((1, 2, 8, 8))
    b.conv(small_weights(RNG, 4, 2, 3, 3), pads=[1, 1, 1, 1])
    b.depth_to_space(2)
    model, x = normalise(onnx.shape_inference.infer_shapes(b.build())), images(1, 3, 8, 8)
    assert {"depth_to_space", "pad"} <= set(kinds_in_one_region(front_end, model))
    same_bits(front_end, model, x)


def test_images_and_what_is_counted_backwards_stay_on_the_cpu(front_end: FrontEnd) -> None:
    b = QdqBuilder((2, 4, 6, 6), -6)
    x = b.conv(small_weights(RNG, 4, 4, 3, 3), pads=[1, 1, 1, 1])
    for part in (b.slice(5, 0, -2, axis=2, x=x), b.slice(0, 1, axis=0, x=x)):
        b.current = part
        b.conv(small_weights(RNG, 3, 4, 3, 3))
        b.output()
    model = b.build()
    rows = [row for row in front_end.explain(front_end.load(model)) if row.op == "strided_slice"]
    assert [row.rule for row in rows] == ["every_nth_pixel"] * 2
    assert {row.value for row in rows} == {"images, or counted backwards"}
    same_bits(front_end, model, images(2, 4, 6, 6))
