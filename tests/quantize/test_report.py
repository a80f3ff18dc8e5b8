"""What the report says of the whole network, and what becomes of layers that do not fit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.quantize.networks import FloatNet, residual_model, run
from tests.quantize.test_pools import snr
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import QuantizationReport, QuantizeError, QuantizeOptions, proof, quantize
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.split import split


def test_outputs_are_judged_as_they_are() -> None:
    """What is noise behind the last layer counts too: here the float network's own answer is all but rounded away."""
    net = FloatNet(size=8)
    x = net.conv("input", 3, 4)
    model, images = net.build(net.add("Sub", net.add("Tanh", x), net.const(0.9)), x), net.images(8)
    made = quantize(model, images)
    (first, second), images = made.report.outputs, split(images).held_back
    assert first.onnxruntime_snr_db == pytest.approx(snr(run(made.model, images), run(model, images)), abs=0.01)
    assert second.snr_db == pytest.approx(made.report.layers[0].snr_db, abs=0.01)
    assert QuantizationReport.from_json(json.loads(json.dumps(made.report.to_json()))) == made.report


def test_an_output_without_noise_has_no_figure() -> None:
    net = FloatNet(size=8)
    x = net.conv("input", 3, 4)
    made = quantize(net.build(x, net.add("Mul", x, net.const(0.0))), net.images(8))
    assert made.report.outputs[0].snr_db and made.report.outputs[1].snr_db is None


def test_outputs_of_any_shape() -> None:
    """One number for all images, and as many as the data have it."""
    net = FloatNet(size=8)
    x = net.conv("input", 3, 4)
    total, places = net.add("ReduceSum", net.add("Abs", x), keepdims=0), net.add("NonZero", net.add("Relu", x))
    model = net.build(total)
    model.graph.output.append(onnx.helper.make_tensor_value_info(places, onnx.TensorProto.INT64, [4, None]))
    first, second = quantize(model, net.images(40)).report.outputs
    assert first.snr_db is not None and first.snr_db > 30 and second.snr_db is None


@pytest.mark.parametrize("name", ["conv_3", "globalaveragepool_9", "gemm_12"])
def test_a_layer_that_does_not_fit_stays_in_float(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = residual_model()
    fits = proof.fits
    monkeypatch.setattr(proof, "fits", lambda layer, *known: layer.name != name and fits(layer, *known))
    with pytest.warns(UserWarning, match=f"{name}: its sums do not fit the accumulator, it stays in float"):
        made = quantize(model, images)
    assert made.report.kept_float == (name,)
    assert name not in {layer.name for layer in made.report.layers} and len(made.report.layers) == 4
    assert snr(run(made.model, images), run(model, images)) > 25


def test_a_network_of_which_nothing_fits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(layer: Layer, *_: object) -> bool:
        return not layer.name

    monkeypatch.setattr(proof, "fits", never)
    net = FloatNet(size=8)
    model = net.build(net.add("Relu", net.conv("input", 3, 4)))
    made_of = "the sums of conv_0 do not fit 17 bits, and there is nothing else to quantise"
    with pytest.raises(QuantizeError, match=made_of):
        quantize(model, net.images(8), options=QuantizeOptions())


def test_sums_of_ones_find_room_in_what_they_add() -> None:
    """Weights that are 1 cannot be smaller: what they add is made coarser, whatever suits the layer before."""
    net = FloatNet(size=8, seed=1)
    x = net.add("Relu", net.conv("input", 3, 96))
    made = quantize(net.build(net.add("Conv", x, net.const(np.ones((2, 96, 3, 3))))), net.images(8))
    assert made.report.kept_float == () and made.report.layers[1].observed_max <= 65535
    assert made.report.outputs[0].snr_db > 25  # type: ignore[operator]


def test_a_model_with_nothing_to_quantise_is_refused() -> None:
    net = FloatNet(size=8)
    model = net.build(net.add("Sigmoid", net.add("Mul", "input", net.const(2.0))))
    expected = r"nothing to quantise: no convolution, dense layer or pooling of the input \(operators: Mul, Sigmoid\)"
    with pytest.raises(QuantizeError, match=expected):
        quantize(model, net.images(4))


def test_a_convolution_that_is_not_one_of_images_is_named() -> None:
    node = helper.make_node("Conv", ["input", "w"], ["y"], "c")
    w = numpy_helper.from_array(np.ones((2, 1, 1, 1, 1), np.float32), "w")
    values = [helper.make_tensor_value_info(n, 1, [None, c, 4, 4, 4]) for n, c in (("input", 1), ("y", 2))]
    graph = helper.make_graph([node], "volume", values[:1], values[1:], [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(QuantizeError, match=r"Conv c reads data of 5 axes, that of images has 4 \(N, C, H, W\)"):
        quantize(model, np.ones((2, 1, 4, 4, 4), np.float32))


def test_an_opset_beyond_what_onnx_knows() -> None:
    """Those that it does know are brought to 21."""
    net = FloatNet(size=8)
    model, newest = net.build(net.conv("input", 3, 4)), onnx.defs.onnx_opset_version()
    model.opset_import[0].version = newest
    assert quantize(model, net.images(4)).report.layers
    model.opset_import[0].version = newest + 1
    with warnings.catch_warnings(), pytest.raises(QuantizeError) as said:
        warnings.simplefilter("ignore")  # where ONNX Runtime takes it, that the opset stays
        quantize(model, net.images(4))
    assert f"opset {newest + 1} cannot be brought to 21" in str(said.value)
    assert f"knows opsets up to {newest})" in str(said.value)


@pytest.mark.parametrize("size", [3, 4, 7])
def test_sums_round_alike_everywhere(size: int) -> None:
    """Behind an average, the shift is small and half of the sums could be ties: even weights and odd biases leave none."""
    net = FloatNet(size=size, seed=size)
    x = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    model = net.build(net.gemm(net.add("Flatten", net.add("GlobalAveragePool", x)), 8, 5))
    images = net.images(64)
    made = quantize(model, images)
    layers = {layer.name: layer for layer in made.report.layers}
    assert layers["globalaveragepool_2"].ties == 0
    assert 0 < layers["conv_0"].ties < 4 * 2.0 ** -layers["conv_0"].lsb
    weight, bias = (constant(made.model, f"globalaveragepool_2.{kind}") for kind in ("weight.int8", "bias.int32"))
    assert (weight == 2).all() and (bias == 1).all()


def test_ties_are_those_of_the_sums() -> None:
    """Counted here from the file's own integers."""
    net = FloatNet(channels=1, size=8)
    model = net.build(net.add("Conv", "input", net.const(np.full((1, 1, 1, 1), 2.3))))
    images = net.rng.integers(-100, 101, (16, 1, 8, 8)).astype(np.float32)
    images[:, 0, 0, :2] = -128, 127
    made = quantize(model, images, arch=Architecture(), options=QuantizeOptions(bias_correction=False))
    (layer,) = made.report.layers
    integers = np.rint(split(images).held_back / 2.0**layer.e_x).clip(-128, 127).astype(np.int64)
    sums = integers * int(constant(made.model, "conv_0.weight.int8").item())
    expected = (sums % 2**layer.lsb == 2 ** (layer.lsb - 1)).mean()
    assert 0 < layer.ties == pytest.approx(expected, abs=1e-4)


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return next(onnx.numpy_helper.to_array(item) for item in model.graph.initializer if item.name == name)
