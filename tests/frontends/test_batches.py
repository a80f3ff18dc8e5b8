"""The end of a ResNet for images of 32x32, with every batch and every kernel: the last shortcut is a 1x1 convolution of stride 2
on a map of 2x2, so that its output has one row."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na import frontends
from tvm_re2na.data import in_memory
from tvm_re2na.evaluate import compare
from tvm_re2na.runtime.library import kernels

pytestmark = [
    pytest.mark.usefixtures("shared"),  # one build for each batch, whatever the kernel
    pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]"),
]


def block(net: FloatNet, x: str, channels: int, outputs: int) -> str:
    """Two 3x3 convolutions, the first with stride 2, and the shortcut around them."""
    y = net.add("Relu", net.conv(x, channels, outputs, strides=[2, 2], pads=[1, 1, 1, 1]))
    y = net.conv(y, outputs, outputs, pads=[1, 1, 1, 1])
    return net.add("Relu", net.add("Add", y, net.conv(x, channels, outputs, 1, strides=[2, 2])))


@pytest.fixture(scope="module")
def residual() -> tuple[onnx.ModelProto, np.ndarray]:
    net = FloatNet(size=4)
    x = net.add("Relu", net.conv("input", 3, 16, strides=[2, 2], pads=[1, 1, 1, 1]))
    x = block(net, x, 16, 64)
    return net.build(net.gemm(net.add("Flatten", net.add("GlobalAveragePool", x)), 64, 5)), net.images(8)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_every_kernel_gives_the_same_bits(
    batch: int, residual: tuple[onnx.ModelProto, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = residual
    data = in_memory("images", images, None)
    for kernel in kernels():
        monkeypatch.setenv("RE2NA_KERNEL", kernel)
        result = compare(model, data, data, batch=batch)
        assert result.bit_identical, kernel
        assert (result.offloaded_macs_share, result.re2na.overflows) == (1.0, 0)
