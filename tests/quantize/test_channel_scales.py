"""On a machine that cuts by channel a convolution's weights have a scale for each: small ones lose nothing to large ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from tests.quantize.networks import FloatNet, run
from tvm_re2na.codegen.arch import Architecture, Rounding
from tvm_re2na.decibels import decibels
from tvm_re2na.quantize import Guarantee, QuantizedModel, QuantizeOptions, quantize

CUTS = Architecture(channel_cuts=1)
PLAIN = QuantizeOptions(equalise=False, split_layers=False)
NARROW = QuantizeOptions(equalise=False, split_layers=False, weight_bits=6)


def model() -> tuple[onnx.ModelProto, npt.NDArray[np.float32]]:
    """A convolution with large weights of either sign and small ones of one: what it reads is positive, so results are alike."""
    net = FloatNet(channels=4)
    x = net.add("Relu", net.conv("input", 4, 32))
    weight = net.rng.normal(0, 0.4, (8, 32, 1, 1))
    weight[::2] = np.abs(weight[::2]) / 20
    x = net.add("Clip", net.add("Conv", x, net.const(weight), net.random(8, scale=0.1)), net.const(0.0), net.const(6.0))
    return net.build(net.conv(x, 8, 6, 1)), net.images(32)


def signal(made: QuantizedModel, images: npt.NDArray[np.float32]) -> float:
    """In dB over noise."""
    wanted, found = run(model()[0], images), run(made.model, images)
    return decibels(float(np.square(wanted).sum()), float(np.square(wanted - found).sum())) or np.inf


def scales(made: QuantizedModel) -> list[npt.NDArray[np.float32]]:
    """Of the weights."""
    constants = {item.name: numpy_helper.to_array(item) for item in made.model.graph.initializer}
    weights = [node for node in made.model.graph.node if node.input[0].endswith("weight.int8")]
    return [constants[node.input[1]] for node in weights]


def test_small_channels_keep_their_bits() -> None:
    float_model, images = model()
    plain, by_channel = (quantize(float_model, images, arch=arch, options=NARROW) for arch in (Architecture(), CUTS))
    assert [scale.shape for scale in scales(plain)] == [()] * 3
    assert [scale.shape for scale in scales(by_channel)][1] == (8,)
    assert len(set(scales(by_channel)[1].tolist())) > 2
    assert [layer.finer for layer in plain.report.layers] == [0, 0, 0] and by_channel.report.layers[1].finer > 2
    assert "Mul" not in [node.op_type for node in by_channel.model.graph.node]
    assert signal(by_channel, images) > signal(plain, images) + 2
    assert by_channel.report.outputs[0].snr_db == pytest.approx(signal(by_channel, images), abs=1.5)


def test_the_option_and_the_machine_decide() -> None:
    float_model, images = model()
    off = quantize(float_model, images, arch=CUTS, options=QuantizeOptions(channel_scales=False))
    assert off.model == quantize(float_model, images).model


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        (Architecture(channel_cuts=1, rounding=Rounding.TRUNCATE), PLAIN),
        (Architecture(channel_cuts=1, acc_bits=14), QuantizeOptions(guarantee=Guarantee.PROVEN, equalise=False)),
        (CUTS, QuantizeOptions(weight_bits=4, activation_bits=6, equalise=False)),
        (CUTS, QuantizeOptions(keep_float=frozenset(["conv_4"]), equalise=False)),
    ],
)
def test_accumulators_and_cuts_stay_within_the_machine(arch: Architecture, options: QuantizeOptions) -> None:
    float_model, images = model()
    made = quantize(float_model, images, arch=arch, options=options)
    assert max(layer.finer for layer in made.report.layers) > 0
    for layer in made.report.layers:
        assert layer.observed_max <= arch.acc_max and layer.lsb + layer.finer < arch.acc_bits
    assert options.guarantee is not Guarantee.PROVEN or all(
        layer.worst_case <= -arch.acc_min for layer in made.report.layers
    )
    assert signal(made, images) > 12
