"""Blocks of pixels, written in whatever way: the same function, as strides and shuffles."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.frontends.qdq import QdqBuilder, small_weights
from tests.onnx_form.networks import after, names, operators
from tests.quantize.networks import FloatNet
from tvm_re2na.onnx_form import normalise
from tvm_re2na.onnx_runtime import session

SLICES = ["Slice"] * 4


def ints(net: FloatNet, *values: int) -> str:
    return net.const(values, np.int64)


def taken_apart(net: FloatNet, x: str, between: tuple[int, ...], order: list[int], result: tuple[int, ...]) -> str:
    """As torch exports its PixelShuffle and PixelUnshuffle."""
    apart = net.add("Transpose", net.add("Reshape", x, ints(net, *between)), perm=order)
    return net.add("Reshape", apart, ints(net, *result))


@pytest.mark.parametrize("batch", [2, "N"])
def test_space_to_depth_is_slices_and_a_concat(batch: int | str) -> None:
    net = FloatNet(size=6, batch=batch)
    made = after(net.build(net.conv(net.add("SpaceToDepth", "input", blocksize=2), 12, 4, 1)))
    assert operators(made) == [*SLICES, "Concat", "Conv"]
    assert names(made)[4] == "spacetodepth_0", "what the user called it"


@pytest.mark.parametrize("order, more", [([0, 3, 5, 1, 2, 4], []), ([0, 1, 3, 5, 2, 4], ["Gather"])])
@pytest.mark.parametrize("batch", [2, "N"])
def test_pixels_that_are_taken_apart_are_slices(batch: int | str, order: list[int], more: list[str]) -> None:
    net, n = FloatNet(size=6, batch=batch), -1 if batch == "N" else 2
    x = taken_apart(net, "input", (n, 3, 3, 2, 3, 2), order, (n, 12, 3, 3))
    assert operators(after(net.build(net.conv(x, 12, 4, 1)))) == [*SLICES, "Concat", *more, "Conv"]


@pytest.mark.parametrize(
    "between, order, more",
    [((4, 3, 3, 6, 6), [0, 1, 4, 2, 5, 3], []), ((3, 3, 4, 6, 6), [0, 3, 4, 1, 5, 2], ["Gather"])],
)
@pytest.mark.parametrize("batch", [2, "N"])
def test_channels_that_are_taken_apart_are_a_depth_to_space(
    batch: int | str, between: tuple[int, ...], order: list[int], more: list[str]
) -> None:
    net, n = FloatNet(size=6, batch=batch), -1 if batch == "N" else 2
    x = taken_apart(net, net.conv("input", 3, 36, 1), (n, *between), order, (n, 4, 18, 18))
    assert operators(after(net.build(net.conv(x, 4, 2, 1)))) == ["Conv", *more, "DepthToSpace", "Conv"]


@pytest.mark.parametrize("mode, more", [("CRD", []), ("DCR", ["Gather"])])
def test_a_depth_to_space_has_one_mode(mode: str, more: list[str]) -> None:
    net = FloatNet(size=6)
    x = net.add("DepthToSpace", net.conv("input", 3, 8, 1), blocksize=2, mode=mode)
    assert operators(after(net.build(net.conv(x, 2, 2, 1)))) == ["Conv", *more, "DepthToSpace", "Conv"]


def test_what_only_looks_alike_stays() -> None:
    """Pixels that change places within their block, blocks that are not square."""
    for between, order, result in (
        ((2, 3, 3, 2, 3, 2), [0, 1, 5, 3, 2, 4], (2, 12, 3, 3)),
        ((2, 3, 3, 2, 2, 3), [0, 1, 3, 5, 2, 4], (2, 18, 3, 2)),
    ):
        net = FloatNet(size=6, batch=2)
        made = after(net.build(taken_apart(net, "input", between, order, result)))
        assert operators(made) == ["Reshape", "Transpose", "Reshape"]


@pytest.mark.parametrize(
    "widths, made",
    [
        ([0, 0, -1, 0, 0, 0, 0, -2], ["Slice"]),
        ([0, -1, 2, -1, 0, 0, -1, 0], ["Slice", "Pad"]),
        ([0, 0, -2, 1, 0, 0, 1, 1], ["Slice", "Pad"]),
    ],
)
@pytest.mark.parametrize("value", [None, 0.5])
def test_a_negative_padding_is_a_slice(widths: list[int], made: list[str], value: float | None) -> None:
    net = FloatNet(size=6)
    given = [ints(net, *widths), *([] if value is None else [net.const(value)])]
    x = net.add("Pad", net.conv("input", 3, 4, 1), *given)
    assert operators(after(net.build(net.add("Relu", x)))) == ["Conv", *made, "Relu"]


def test_a_quantised_model_keeps_its_integers() -> None:
    rng = np.random.default_rng(5)
    b = QdqBuilder((1, 3, 8, 8), -6)
    b.node("SpaceToDepth", (1, 12, 4, 4), blocksize=2)
    b.conv(small_weights(rng, 12, 12, 1, 1))
    b.depth_to_space(2)
    b.pad(-1, 0, 0, -2)
    model = onnx.shape_inference.infer_shapes(b.build())
    made = normalise(model)
    moved = [op for op in operators(made) if not op.endswith("Linear")]
    assert moved == [*SLICES, "Concat", "Conv", "Gather", "DepthToSpace", "Slice"]
    x = rng.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    before, behind = (session(each.SerializeToString()).run(None, {"input": x}) for each in (model, made))
    np.testing.assert_array_equal(before[0], behind[0])


@pytest.mark.parametrize("exponent, moved", [(-6, ["DepthToSpace"]), (-5, ["Reshape", "Transpose", "Reshape"])])
def test_what_is_rounded_on_the_way_has_to_have_been_rounded_so(exponent: int, moved: list[str]) -> None:
    """As quantisers write it, Q and DQ around each operator; a scale of its own would lose digits."""
    b = QdqBuilder((1, 8, 2, 2), -6)
    b.reshape((1, 2, 2, 2, 2, 2))
    b.node("Transpose", (1, 2, 2, 2, 2, 2), exponent, perm=[0, 1, 4, 2, 5, 3])
    b.reshape((1, 2, 4, 4))
    model = onnx.shape_inference.infer_shapes(b.build())
    made = normalise(model)
    assert [op for op in operators(made) if not op.endswith("Linear")] == moved
    x = np.random.default_rng(5).normal(0, 1, (1, 8, 2, 2)).astype(np.float32)
    before, behind = (session(each.SerializeToString()).run(None, {"input": x}) for each in (model, made))
    np.testing.assert_array_equal(before[0], behind[0])


def test_a_block_that_does_not_divide_the_image_is_no_model() -> None:
    """ONNX Runtime refuses it; so it stays as it is, and whoever runs it says why."""
    node = helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=4)
    shapes = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 6, 6))]
    shapes.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    graph = helper.make_graph([node], "g", shapes[:1], shapes[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert operators(normalise(model)) == ["SpaceToDepth"]
