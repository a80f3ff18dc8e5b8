"""Layers that the quantiser has computed in parts: their channels come together where they are made, and no border is drawn."""

from __future__ import annotations

import numpy as np

from tests.frontends.harness import FrontEnd
from tests.quantize.test_parts import PARTS, model
from tvm_re2na.quantize import quantize


def test_parts_are_one_region_and_bits_are_equal(front_end: FrontEnd) -> None:
    float_model, images = model()
    made = quantize(float_model, images, options=PARTS)
    assert sum(".part" in layer.name for layer in made.report.layers) >= 4
    x = images[:2]
    module = front_end.load(made.model, {"input": x.shape})
    partitioned = front_end.partition(module)
    assert len(front_end.regions(partitioned)) == 1 and front_end.offloaded_macs_share(partitioned) == 1.0
    expected = front_end.run_cpu(front_end.integers(module), [x])[0]
    np.testing.assert_array_equal(front_end.run_re2na(partitioned, [x])[0], expected)
    assert len(np.unique(expected)) > 20
