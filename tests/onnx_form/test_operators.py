"""Operators that say the same come out as one, and what only looks alike stays."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_form.networks import after, declared, names, operators
from tests.quantize.networks import FloatNet

INFINITE = float("inf")


def clip(low: float | None, high: float | None) -> onnx.ModelProto:
    net = FloatNet()
    bounds = ["" if bound is None else net.const(bound) for bound in (low, high)]
    return net.build(net.add("Clip", net.conv("input", 3, 4), *bounds))


@pytest.mark.parametrize(
    "low, high, op",
    [
        (0, INFINITE, "Relu"),
        (-INFINITE, 1, "Clip"),
        (-1, INFINITE, "Clip"),
        (-INFINITE, INFINITE, None),
        (INFINITE, INFINITE, "Clip"),
    ],
)
def test_infinite_bounds_are_none(low: float, high: float, op: str | None) -> None:
    assert operators(after(clip(low, high))) == ["Conv", *([op] if op else [])]


@pytest.mark.parametrize(("op", "side"), [("Max", 1), ("Min", 2)])
@pytest.mark.parametrize("first", [True, False])
def test_an_extremum_beside_a_number_is_a_clip(op: str, side: int, first: bool) -> None:
    net = FloatNet()
    operands = [net.conv("input", 3, 4), net.const([0.25])]
    made = after(net.build(net.add(op, *operands[:: -1 if first else 1])))
    assert operators(made) == ["Conv", "Clip"] and len(made.graph.node[1].input) == side + 1


def test_extrema_of_many_are_of_two() -> None:
    net = FloatNet()
    x, y, z = (net.conv("input", 3, 4) for _ in range(3))
    made = after(net.build(net.add("Max", x, y, net.const(0.5), z)))
    assert operators(made) == ["Conv"] * 3 + ["Max", "Clip", "Max"]
    net = FloatNet()
    made = after(net.build(net.add("Min", net.conv("input", 3, 4), net.random(1, 4, 1, 1))))
    assert operators(made) == ["Conv", "Min"]
    net = FloatNet()
    assert operators(after(net.build(net.add("Min", net.conv("input", 3, 4))))) == ["Conv"]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_sum_of_several_is_additions(count: int) -> None:
    """As Caffe2 wrote residual networks."""
    net = FloatNet()
    made = after(net.build(net.add("Sum", *(net.conv("input", 3, 4) for _ in range(count)))))
    assert operators(made) == ["Conv"] * count + ["Add"] * (count - 1)


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("keep", [0, 1])
def test_the_mean_of_rows_and_columns_is_the_pooling(axes: list[int], keep: int) -> None:
    net = FloatNet()
    made = after(net.build(net.add("ReduceMean", net.conv("input", 3, 4), axes=axes, keepdims=keep)))
    assert operators(made) == ["Conv", "GlobalAveragePool", *([] if keep else ["Flatten"])]
    assert names(made)[1] == "reducemean_1", "what the user called it"


@pytest.mark.parametrize("axes", [[1], [1, 2], [0, 2, 3]])
def test_other_means_stay(axes: list[int]) -> None:
    net = FloatNet()
    assert operators(after(net.build(net.add("ReduceMean", "input", axes=axes)))) == ["ReduceMean"]


@pytest.mark.parametrize(("sizes", "zero"), [([0, -1], 0), ([-1, 432], 0), ([0, 432], 0), ([-1, 432], 1)])
def test_a_reshape_that_keeps_the_batch_is_a_flatten(sizes: list[int], zero: int) -> None:
    """`allowzero`, as PyTorch exports it, says nothing where there is no zero."""
    net = FloatNet()
    x = net.add("Reshape", net.add("Identity", "input"), net.const(sizes, np.int64), allowzero=zero)
    assert operators(after(net.build(net.gemm(x, 432, 5))))[-2:] == ["Flatten", "Gemm"]


def test_a_reshape_that_does_not_stays() -> None:
    net = FloatNet()
    model = net.build(net.add("Reshape", "input", net.const([-1, 144], np.int64)))
    assert operators(after(model)) == ["Reshape"]


def test_a_squeezed_pooling() -> None:
    net = FloatNet()
    x = net.add("Squeeze", net.add("GlobalAveragePool", "input"), net.const([2, 3], np.int64))
    assert operators(after(net.build(net.gemm(x, 3, 5)))) == ["GlobalAveragePool", "Flatten", "Gemm"]


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_of_several_reshapes_the_last_stays(batch: int | str) -> None:
    net = FloatNet(channels=2, size=3, batch=batch)
    x = net.add("Unsqueeze", net.add("Flatten", "input"), net.const([2], np.int64))
    x = net.add("Squeeze", net.add("Unsqueeze", x, net.const([3], np.int64)), net.const([3], np.int64))
    made = after(net.build(net.gemm(net.add("Squeeze", x, net.const([2], np.int64)), 18, 5)))
    assert (operators(made), names(made)[0]) == (["Flatten", "Gemm"], "squeeze_4")


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (1, 1), (4, 1), (4, 5), (5, 5), (5, 1)])
@pytest.mark.parametrize("turned", [0, 1])
def test_every_shape_that_a_bias_may_have(shape: tuple[int, ...], turned: int) -> None:
    batch = shape[0] if len(shape) == 2 and shape[0] > 1 else 4
    net = FloatNet(size=2, batch=batch)
    weight = net.random(*((5, 12) if turned else (12, 5)))
    x = net.add("Gemm", net.add("Flatten", "input"), weight, net.random(*shape), transB=turned, alpha=0.5, beta=3.0)
    made = after(net.build(net.add("Relu", x)))
    rows = len(shape) == 2 and shape[0] > 1
    assert operators(made) == ["Flatten", "Gemm", *(["Add"] if rows else []), "Relu"]
    assert names(made)[1] == "gemm_1"


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [7, 8])
def test_padding_becomes_numbers(mode: str, size: int) -> None:
    net = FloatNet(size=size)
    x = net.conv("input", 3, 4, strides=[2, 2], auto_pad=mode)
    made = after(net.build(net.add("MaxPool", x, kernel_shape=[2, 2], auto_pad=mode)))
    assert not [item for node in made.graph.node for item in node.attribute if item.name == "auto_pad"]


@pytest.mark.parametrize("size", range(4, 12))
@pytest.mark.parametrize(
    "kernel, stride, pads", [(2, 2, [1, 1, 1, 1]), (2, 3, [1, 0, 1, 1]), (3, 2, [0, 0, 0, 0]), (1, 3, [0] * 4)]
)
def test_windows_in_the_padding(size: int, kernel: int, stride: int, pads: list[int]) -> None:
    net = FloatNet(size=size)
    x = net.add("MaxPool", "input", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, ceil_mode=1)
    after(declared(net.build(x), ("N", 3, "h", "w")))  # ONNX 1.18 infers a row too many


@pytest.mark.parametrize("value, before", [(-1e9, "Conv"), (-INFINITE, "Conv"), (-128.0, "Relu"), (0.0, "Relu")])
def test_padding_that_is_never_a_maximum(value: float, before: str) -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    x = net.add("Relu", x) if before == "Relu" else x
    padded = net.add("Pad", x, net.const([0, 0, 1, 1, 0, 0, 1, 0], np.int64), net.const(value))
    made = after(net.build(net.add("MaxPool", padded, kernel_shape=[3, 3], strides=[2, 2])))
    assert "Pad" not in operators(made)


@pytest.mark.parametrize("value, rows", [(-1.0, 1), (-1e9, 3)])
def test_padding_that_may_be_one_stays(value: float, rows: int) -> None:
    net = FloatNet()
    padded = net.add("Pad", net.conv("input", 3, 4), net.const([0, 0, rows, 0, 0, 0, 0, 0], np.int64), net.const(value))
    model = net.build(net.add("MaxPool", padded, kernel_shape=[3, 3]))
    assert "Pad" in operators(after(model))


def test_local_functions_are_written_out() -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    model = declared(net.build(x), ("N", 4, 10, 10))
    model.graph.node.append(helper.make_node("Twice", [x], ["y"], name="twice", domain="local"))
    model.graph.node.append(helper.make_node("Relu", ["y"], ["z"], name="relu"))
    model.graph.output[0].name = "z"
    body = [helper.make_node("Add", ["a", "a"], ["b"], name="add")]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, opsets, []))
    model.opset_import.append(helper.make_opsetid("local", 1))
    made = after(model)
    assert operators(made) == ["Conv", "Add", "Relu"] and not made.functions


def test_an_input_that_is_an_output() -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    model = declared(net.build(x, "input"), ("N", 4, 10, 10), ("N", 3, 12, 12))
    made = after(model)
    assert operators(made) == ["Conv", "Identity"] and made.graph.input[0].name == "input"
    assert [value.name for value in made.graph.output] == [x, "input_1"]


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 12, 13, 18, 21, 22])
def test_opsets_come_to_those_that_are_read(opset: int) -> None:
    """Operators as each opset writes them."""
    net = FloatNet()
    x = net.add("Relu", net.conv("input", 3, 4))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    model = net.build(net.gemm(net.add("Flatten", x), 100, 5))
    model.opset_import[0].version = opset
    made = after(model)
    assert 13 <= made.opset_import[0].version <= 21
    assert [node.name for node in made.graph.node if node.op_type == "Conv"] == ["conv_0"]


def test_an_old_clip_and_dropout() -> None:
    net = FloatNet()
    x = net.add("Dropout", net.add("Clip", net.conv("input", 3, 4), min=0.0, max=6.0), ratio=0.5)
    model = net.build(x)
    model.opset_import[0].version = 10
    made = after(model)
    assert operators(made)[:2] == ["Conv", "Clip"] and len(made.graph.node[1].input) == 3


def test_integers_stay_integers() -> None:
    net = FloatNet()
    x = net.add("Cast", net.add("ArgMax", "input", axis=1), to=TensorProto.INT32)
    model = net.build("input")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(x, TensorProto.INT32, ("N", 1, 12, 12)))
    assert operators(after(model)) == ["ArgMax", "Cast"]


def shuffle(net: FloatNet, x: str, groups: list[int], order: list[int]) -> str:
    """Of 12 channels of 4 x 5 pixels."""
    apart = net.add("Reshape", x, net.const([1, *groups, 4, 5], np.int64))
    moved = net.add("Transpose", apart, perm=[0, *order, len(order) + 1, len(order) + 2])
    return net.add("Reshape", moved, net.const([1, 12, 4, 5], np.int64))


@pytest.mark.parametrize(("groups", "order"), [([2, 6], [2, 1]), ([3, 2, 2], [3, 1, 2])])
def test_a_shuffle_of_channels_is_a_gather(groups: list[int], order: list[int]) -> None:
    net = FloatNet(channels=12, batch=1)
    net.shape[2:] = [4, 5]
    made = after(net.build(shuffle(net, "input", groups, order)))
    assert (operators(made), names(made)) == (["Gather"], ["reshape_2"])


def test_a_transpose_of_pixels_is_none() -> None:
    net = FloatNet(channels=12, batch=1)
    net.shape[2:] = [4, 5]
    apart = net.add("Reshape", "input", net.const([1, 2, 6, 4, 5], np.int64))
    moved = net.add("Transpose", apart, perm=[0, 1, 2, 4, 3])
    made = after(net.build(net.add("Reshape", moved, net.const([1, 12, 4, 5], np.int64))))
    assert "Gather" not in operators(made)


@pytest.mark.parametrize("sizes", [None, [3, 5]])
@pytest.mark.parametrize("opset", [11, 17, 18])
def test_a_split_of_channels_is_slices(sizes: list[int] | None, opset: int) -> None:
    """Of the parts that are read; a part that is an output keeps its name."""
    net = FloatNet(channels=8)
    given = [] if sizes is None or opset == 11 else [net.const(sizes, np.int64)]
    attributes = {"split": sizes} if opset == 11 and sizes else {"num_outputs": 2} if opset == 18 and not given else {}
    first = net.add("Split", "input", *given, axis=1, **attributes)
    net.nodes[-1].output.append("second")
    model = net.build("second", net.add("Relu", first))
    model.opset_import[0].version = opset
    model.graph.ClearField("value_info")  # inferred for another opset
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].Clear()
    made = after(model)
    assert sorted(operators(made)) == ["Relu", "Slice", "Slice"]
    assert [output.name for output in made.graph.output] == ["second", "relu_1"]
    assert names(made)[:2] == ["split_0", "split_0_1"]


def test_a_part_that_nobody_reads_is_none() -> None:
    net = FloatNet(channels=8)
    first = net.add("Split", "input", axis=1)
    net.nodes[-1].output.append("second")
    assert operators(after(net.build(net.add("Relu", first)))) == ["Slice", "Relu"]


def test_a_split_of_rows_stays() -> None:
    net = FloatNet(channels=8)
    first = net.add("Split", "input", axis=2)
    net.nodes[-1].output.append("second")
    assert operators(after(net.build(net.add("Relu", first)))) == ["Split", "Relu"]


def test_the_numbers_of_a_gather_count_from_the_front() -> None:
    net = FloatNet(channels=8)
    x = net.add(
        "Reshape", net.add("Gather", "input", net.const([-1, 2, -8], np.int64), axis=1), net.const([0, -1], np.int64)
    )
    made = after(net.build(net.gemm(x, 3 * 144, 2)))
    (gather,) = (node for node in made.graph.node if node.op_type == "Gather")
    numbers = next(item for item in made.graph.initializer if item.name == gather.input[1])
    assert onnx.numpy_helper.to_array(numbers).tolist() == [7, 2, 0]
