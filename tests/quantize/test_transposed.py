"""Transposed convolutions are layers like others."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet, run
from tests.quantize.test_fold import same_function
from tests.quantize.test_pools import made, operators
from tvm_re2na.quantize import quantize
from tvm_re2na.quantize.net import Node
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions
from tvm_re2na.quantize.transposed import as_stored, transposed_rows

FORMS: list[dict[str, Any]] = [
    {"kernel": (2, 2), "strides": [2, 2]},
    {"kernel": (3, 3), "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    {"kernel": (4, 3), "strides": [2, 1], "pads": [0, 2, 1, 0]},
    {"kernel": (1, 2), "strides": [3, 2], "output_padding": [2, 1]},
    {"kernel": (1, 1), "strides": [2, 2], "pads": [1, 0, 0, 0], "output_padding": [1, 0]},
    {"kernel": (3, 3), "strides": [2, 2], "pads": [3, 0, 2, 1], "group": 2},
    {"kernel": (3, 3), "group": 8},
]


def decoder(form: dict[str, Any], *behind: str) -> tuple[FloatNet, onnx.ModelProto]:
    """Between two convolutions."""
    net = FloatNet(seed=6, size=6)
    attributes = {name: value for name, value in form.items() if name != "kernel"}
    depth = 8 // attributes.get("group", 1)
    x = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    weight = net.random(8, depth, *form["kernel"], scale=0.3)
    x = net.add("ConvTranspose", x, weight, net.random(8, scale=0.1), **attributes)
    for op in behind:
        statistics = [net.const(net.rng.uniform(0.5, 2, 8)) for _ in range(4)]
        x = net.add(op, x, *(statistics if op == "BatchNormalization" else ()))
    return net, net.build(net.conv(x, 8, 4, kernel=1))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_pixels_see_times_the_weights_are_the_sums(form: dict[str, Any]) -> None:
    """Of ONNX Runtime, whose floats are exact here."""
    rng = np.random.default_rng(1)
    attributes = {name: value for name, value in form.items() if name != "kernel"}
    node, groups = Node("ConvTranspose", "n", ["x", "w"], ["y"], attributes), attributes.get("group", 1)
    source = rng.integers(-128, 128, (2, 8, 5, 4)).astype(np.int8)
    weight = rng.integers(-9, 10, (8, 8 // groups, *form["kernel"]))
    net = FloatNet()
    net.shape = list(source.shape)
    model = net.build(net.add("ConvTranspose", "input", net.const(as_stored(node, weight)), **attributes))
    wanted = run(model, source.astype(np.float32))
    size = wanted.shape[2] * wanted.shape[3]
    pixels = np.stack([rng.permutation(size) for _ in range(2)])
    rows = transposed_rows(node, form["kernel"], source, pixels).astype(np.int64)
    sums = rows @ weight.reshape(groups, 8 // groups, -1).transpose(0, 2, 1)
    found = sums.reshape(groups, 2, size, -1).transpose(1, 0, 3, 2).reshape(2, 8, size)
    np.testing.assert_array_equal(found, np.take_along_axis(wanted.reshape(2, 8, size), pixels[:, None], 2))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_quantised(form: dict[str, Any]) -> None:
    net, model = decoder(form, "Relu")
    quantized, found = made(net, model)
    assert found > 24 and operators(quantized.model) == {"Conv", "ConvTranspose", "Relu"}
    (layer,) = (layer for layer in quantized.report.layers if layer.op == "ConvTranspose")
    assert layer.snr_db > 24 and layer.observed_max <= layer.worst_case


@pytest.mark.parametrize("form", FORMS[:6:5], ids=str)
def test_a_normalisation_moves_into_it(form: dict[str, Any]) -> None:
    net, model = decoder(form, "BatchNormalization")
    assert same_function(model, net.images()) == ["Conv", "Relu", "ConvTranspose", "Conv"]


def test_its_sums_are_proven() -> None:
    net, model = decoder(FORMS[1])
    report = quantize(model, net.images(), options=QuantizeOptions(guarantee=Guarantee.PROVEN)).report
    assert all(layer.worst_case <= layer.limit for layer in report.layers) and len(report.layers) == 3


def test_a_dilated_one_stays_in_float() -> None:
    net, model = decoder({"kernel": (2, 2), "dilations": [2, 2]})
    quantized = quantize(model, net.images())
    assert [layer.op for layer in quantized.report.layers] == ["Conv", "Conv"]
