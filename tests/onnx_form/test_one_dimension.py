"""Convolutions of sequences become those of images of one column, and nothing stands between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.onnx_form.networks import after, declared, names, operators
from tests.quantize.networks import SequenceNet


@pytest.mark.parametrize("batch", ["N", 2])
def test_a_network_is_one_chain(batch: int | str) -> None:
    net = SequenceNet(batch=batch)
    made = after(net.build(net.classifier("input")))
    assert operators(made) == [
        *("Reshape", "Conv", "BatchNormalization", "Relu", "Conv", "Add", "Relu", "MaxPool", "Conv", "AveragePool"),
        *("Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"),
    ]
    assert names(made)[1:4] == ["conv_0", "batchnormalization_1", "relu_2"], "what the user called them"
    weights = {item.name: item.dims for item in made.graph.initializer}
    assert [weights[node.input[1]][2:] for node in made.graph.node if node.op_type == "Conv"] == [
        [5, 1],
        [3, 1],
        [3, 1],
        [1, 1],
    ]


CASES: dict[str, tuple[Callable[[SequenceNet], str], list[str]]] = {
    "alone": (lambda n: n.conv1d("input", 4, 4), ["Reshape", "Conv", "Reshape"]),
    "padded on one side": (lambda n: n.conv1d("input", 4, 4, 5, pads=[4, 0]), ["Reshape", "Conv", "Reshape"]),
    "auto_pad": (lambda n: n.conv1d("input", 4, 4, 4, auto_pad="SAME_LOWER"), ["Reshape", "Conv", "Reshape"]),
    "a Pad before": (
        lambda n: n.conv1d(n.add("Pad", "input", n.const([0, 0, 2, 0, 0, 1], np.int64)), 4, 4),
        ["Reshape", "Pad", "Conv", "Reshape"],
    ),
    "the lowest before a pooling": (
        lambda n: n.add(
            "MaxPool",
            n.add("Pad", n.conv1d("input", 4, 4), n.const([0, 0, 1, 0, 0, 1], np.int64), n.const(-1e9)),
            kernel_shape=[3],
        ),
        ["Reshape", "Conv", "MaxPool", "Reshape"],
    ),
    "ceil_mode": (
        lambda n: n.add("MaxPool", "input", kernel_shape=[3], strides=[2], ceil_mode=1),
        ["Reshape", "MaxPool", "Reshape"],
    ),
    "padding that counts": (
        lambda n: n.add("AveragePool", "input", kernel_shape=[3], pads=[1, 1], count_include_pad=1),
        ["Reshape", "AveragePool", "Reshape"],
    ),
    "the whole": (lambda n: n.add("GlobalAveragePool", "input"), ["Reshape", "GlobalAveragePool", "Reshape"]),
    "a mean that keeps its axis": (
        lambda n: n.add("ReduceMean", "input", axes=[-1], keepdims=1),
        ["Reshape", "GlobalAveragePool", "Reshape"],
    ),
    "a normalisation alone": (lambda n: n.batch_norm("input", 4), ["Reshape", "BatchNormalization", "Reshape"]),
    "constants of every shape": (
        lambda n: n.add(
            "Mul",
            n.add("Add", n.add("PRelu", n.conv1d("input", 4, 4), n.random(4, 1)), n.random(22)),
            n.add("Sub", n.const(2.0), n.const([1.0])),
        ),
        ["Reshape", "Conv", "PRelu", "Add", "Mul", "Reshape"],
    ),
    "along channels": (
        lambda n: n.conv1d(n.add("Concat", n.conv1d("input", 4, 4), n.conv1d("input", 4, 2), axis=-2), 6, 4),
        ["Reshape", "Conv", "Conv", "Concat", "Conv", "Reshape"],
    ),
    "along the sequence": (
        lambda n: n.conv1d(n.add("Concat", n.conv1d("input", 4, 4), "input", axis=-1), 4, 4),
        ["Reshape", "Conv", "Concat", "Conv", "Reshape"],
    ),
    "scaled by what is squeezed": (
        lambda n: n.add("Mul", x := n.conv1d("input", 4, 4), n.add("Sigmoid", n.add("GlobalAveragePool", x))),
        ["Reshape", "Conv", "GlobalAveragePool", "Sigmoid", "Mul", "Reshape"],
    ),
    "others between": (
        lambda n: n.conv1d(n.add("Softmax", n.conv1d("input", 4, 4), axis=2), 4, 4),
        ["Reshape", "Conv", "Reshape", "Softmax", "Reshape", "Conv", "Reshape"],
    ),
    "flattened": (
        lambda n: n.gemm(n.add("Flatten", n.conv1d("input", 4, 4)), 88, 5),
        ["Reshape", "Conv", "Flatten", "Gemm"],
    ),
    "squeezed": (
        lambda n: n.add("Squeeze", n.add("GlobalAveragePool", n.conv1d("input", 4, 4)), n.const([2], np.int64)),
        ["Reshape", "Conv", "GlobalAveragePool", "Flatten"],
    ),
    "no window": (lambda n: n.add("Relu", n.add("Add", "input", "input")), ["Add", "Relu"]),
    "transposed": (lambda n: n.add("ConvTranspose", "input", n.random(4, 2, 3)), ["ConvTranspose"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_stands_beside_them(case: str) -> None:
    built, expected = CASES[case]
    net = SequenceNet()
    model = net.build(built(net))
    assert operators(after(model)) == expected


def test_both_sides_of_an_output() -> None:
    """What is shown to the user has three axes, also where the network goes on from it."""
    net = SequenceNet()
    shown = net.conv1d("input", 4, 4)
    last = net.conv1d(shown, 4, 2)
    made = after(declared(net.build(shown, last), ("N", 4, 22), ("N", 2, 20)))
    assert operators(made) == ["Reshape", "Conv", "Reshape", "Conv", "Reshape"]


def test_sequences_of_an_open_length() -> None:
    net = SequenceNet()
    net.shape = ["N", 4, "length"]
    x = net.conv1d("input", 4, 4, pads=[1, 1])
    after(net.build(net.conv1d(x, 4, 4, pads=[1, 1])), net.rng.normal(0, 1, (2, 4, 17)).astype(np.float32))
