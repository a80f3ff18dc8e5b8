"""A scale for each channel's weights is computed on the CPU, in integers, with the same bits in either TVM."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, small_weights, weights
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture

RNG = np.random.default_rng(4)
SCALES = [0.0123, 0.5, 0.002, 0.015625, 0.3, 0.1, 0.0078125, 0.04]


def test_by_channel(front_end: FrontEnd) -> None:
    """The sums' scale over that of the result is a multiplier of 31 bits and a shift, halves go up."""
    channels = len(SCALES)
    b = QdqBuilder((2, 3, 6, 6), -6)
    convolution = weights(RNG, channels, 3, 1, 1), biases(RNG, channels)
    b.conv(*convolution, weight_scale=SCALES, exponent=-2)
    b.output()
    b.flatten()
    layer = weights(RNG, channels, channels * 36), biases(RNG, channels)
    b.dense(*layer, weight_scale=SCALES, exponent=3)
    b.output()
    x = RNG.integers(-128, 128, (2, 3, 6, 6))
    found = pipeline.build_for_cpu(*pipeline.import_into_tvm(b.build(), 2)).executor()((x / 64).astype(np.float32))
    sums = np.einsum("nchw,oc->nohw", x, convolution[0][:, :, 0, 0].astype(np.int64))
    maps = _rescaled(sums + convolution[1].reshape(1, -1, 1, 1), 2.0**-6, 2.0**-2)
    rows = _rescaled(maps.reshape(2, -1) @ layer[0].T.astype(np.int64) + layer[1], 2.0**-2, 2.0**3)
    for mine, expected, step in zip(found, (maps, rows), (2.0**-2, 2.0**3), strict=True):
        np.testing.assert_array_equal(mine / step, expected)
        assert len(np.unique(expected)) > 8


def test_powers_of_two_run_on_a_machine_that_cuts_by_channel(front_end: FrontEnd) -> None:
    """A convolution, one for each channel with ReLU6 behind it, and what a machine without leaves on the CPU."""
    powers = [2.0**-8, 2.0**-6, 2.0**-7, 2.0**-3, 2.0**-9, 2.0**-6, 2.0**-8, 2.0**-4]
    b = QdqBuilder((2, 3, 9, 9), -6)
    b.conv(small_weights(RNG, 8, 3, 3, 3), biases(RNG, 8), weight_scale=powers, exponent=-2, pads=[1, 1, 1, 1])
    b.conv(small_weights(RNG, 8, 1, 3, 3), biases(RNG, 8), weight_scale=powers[::-1], quantise=False, group=8)
    b.clip(0.0, 6.0)
    b.conv(small_weights(RNG, 5, 8, 1, 1), biases(RNG, 5), weight_scale=powers[3:], exponent=1)
    module, arch = front_end.load(b.build()), Architecture(channel_cuts=1)
    x = (RNG.integers(-128, 128, (2, 3, 9, 9)) / 64).astype(np.float32)
    expected = front_end.run_cpu(front_end.integers(module), [x])[0]
    partitioned = front_end.partition(module, arch)
    assert front_end.offloaded_macs_share(partitioned) == 1.0
    np.testing.assert_array_equal(front_end.run_re2na(partitioned, [x])[0], expected)
    assert len(np.unique(expected)) > 20
    assert {row.rule for row in front_end.explain(module) if row.op == "conv2d"} == {"per_tensor_scales"}


def _rescaled(sums: npt.NDArray[np.int64], data: float, result: float) -> npt.NDArray[np.int64]:
    """Channels on axis 1; scales as the file holds them."""
    found = np.empty_like(sums)
    for channel, scale in enumerate(np.float32(SCALES)):
        fraction, exponent = math.frexp(float(np.float32(data) * scale) / result)
        multiplier, shift = round(fraction * 2**31), 31 - exponent
        for index in np.ndindex(sums[:, channel].shape):
            number = int(sums[:, channel][index])
            found[:, channel][index] = min(max((number * multiplier + (1 << (shift - 1))) >> shift, -128), 127)
    return found
