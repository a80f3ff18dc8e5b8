"""Averages of any length, and maxima over padding of any value: on the machine, with the bits of TVM's CPU."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import pad, snr
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")


def branches(net: FloatNet) -> onnx.ModelProto:
    """One convolution, and all that can be made of its 23 x 23 values, as outputs."""
    x = net.conv("input", 3, 4)
    positive = net.add("Relu", x)
    long = net.gemm(net.add("Flatten", net.add("GlobalAveragePool", positive)), 4, 5)
    alone = net.add("GlobalAveragePool", positive)
    sliding = net.add("AveragePool", x, kernel_shape=[5, 3], strides=[2, 1], pads=[2, 1, 1, 0], count_include_pad=1)
    halved = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0)
    wide = net.conv(net.add("AveragePool", positive, kernel_shape=[21, 21]), 4, 3, kernel=2)
    padded = [net.add("Pad", x, *pad(net, value)) for value in (-128.0, -1.0)]
    maxima = [net.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2]) for y in padded]
    return net.build(long, alone, sliding, halved, wide, *maxima)


def test_averages_and_maxima_are_offloaded() -> None:
    net = FloatNet(size=25, seed=2)
    model, images = branches(net), net.images(16)
    quantized = quantize(model, images).model
    rows = pipeline.explain(*pipeline.import_into_tvm(quantized, 1), Architecture())
    assert {row.op for row in rows if not row.offloaded and row.rule != "host_boundary"} <= {"pad"}
    re2na = pipeline.build_for_re2na(*pipeline.import_into_tvm(quantized, 1), Architecture()).executor()
    cpu = pipeline.build_for_cpu(*pipeline.import_into_tvm(quantized, 1)).executor()
    for image in images[:3, None]:
        found = re2na(image)
        for machine, exact in zip(found, cpu(image), strict=True):
            np.testing.assert_array_equal(machine, exact)
    assert len(found) == len(model.graph.output)
    for got, output in zip(found, model.graph.output, strict=True):
        alone = onnx.ModelProto()
        alone.CopyFrom(model)
        del alone.graph.output[:]
        alone.graph.output.append(output)
        assert snr(np.asarray(got), run(alone, image)) > 24, output.name
