"""Networks that fall into several parts: what is said of them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, small_weights
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.runtime.network_traffic import network_traffic

RNG = np.random.default_rng(20)


def conv(b: QdqBuilder, channels: int) -> None:
    """A convolution of 3 x 3 that keeps the size."""
    weight = small_weights(RNG, channels, b.current.shape[1], 3, 3)
    b.conv(weight, biases(RNG, channels), exponent=-4, pads=[1, 1, 1, 1])


def parted() -> onnx.ModelProto:
    """(2, 4, 12, 12): two convolutions, a resizing that interpolates and so stays on the CPU, one convolution."""
    b = QdqBuilder((2, 4, 12, 12), -6)
    conv(b, 8)
    conv(b, 6)
    b.resize(2, 2, mode="linear")
    conv(b, 3)
    return onnx.shape_inference.infer_shapes(b.build())


def test_what_is_said_of_regions(front_end: FrontEnd) -> None:
    network = pipeline.import_into_tvm(parted(), 2)
    inside, outside = 12 * 12 * (4 + 6), 24 * 24 * (6 + 3)  # elements in and out of each region, of one image
    rows = [row for row in pipeline.explain(*network, Architecture()) if row.op == "conv2d"]
    assert [row.region for row in rows] == [0, 0, 1]
    assert [row.crossing_bytes for row in rows] == [2 * inside, 0, 2 * outside]
    compiled = pipeline.compile_for_re2na(*network, Architecture())
    assert compiled.border_bytes == 2 * (4 * 12 * 12 + 3 * 24 * 24)
    traffic = network_traffic([program for _, program in compiled.programs], compiled.border_bytes)
    assert (traffic.regions, traffic.crossing_bytes) == (2, inside + outside)
    weights = sum(program.meta["total"]["weight_bytes"] for _, program in compiled.programs)
    assert weights == (8 * 4 + 6 * 8 + 3 * 6) * 9 + 4 * (8 + 6 + 3)
    assert traffic.dram_bytes_compulsory == (weights + compiled.border_bytes) // 2
    built = pipeline.build_for_re2na(*network, Architecture())
    assert built.border_bytes == compiled.border_bytes


def test_a_module_that_is_partitioned_already_has_the_same_regions(front_end: FrontEnd) -> None:
    mod, params = pipeline.import_into_tvm(parted(), 2)
    found = [(row.region, row.crossing_bytes) for row in front_end.explain(mod, params)]
    again = [(row.region, row.crossing_bytes) for row in front_end.explain(front_end.partition(mod))]
    assert [row for row in found if row[0] is not None] == [row for row in again if row[0] is not None]
