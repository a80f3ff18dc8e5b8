"""Whole networks from the quantised model to outputs, by either TVM."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation


def run_whole(
    quantized: onnx.ModelProto, images: npt.NDArray[np.float32], regions: int = 1, on_cpu: Collection[str] = ()
) -> tuple[list[Explanation], list[npt.NDArray[Any]]]:
    """Check that all MACs run on the machine, in so many regions, that only operators of the kinds `on_cpu` stay on the CPU, and
    that outputs have the bits of TVM's; returns the operators, and the first output for each of `images` (N, C, H, W)."""
    network = pipeline.import_into_tvm(quantized, 1)
    rows = pipeline.explain(*network, Architecture())
    assert {row.op for row in rows if not row.offloaded and row.rule != "host_boundary"} <= set(on_cpu)
    built = pipeline.build_for_re2na(*network, Architecture())
    assert len(built.programs) == regions and built.offloaded_macs_share == 1
    re2na, cpu = built.executor(), pipeline.build_for_cpu(*network).executor()
    found = []
    for image in images[:, None]:
        outputs = re2na(image)
        for machine, exact in zip(outputs, cpu(image), strict=True):
            np.testing.assert_array_equal(machine, exact)
        found.append(np.asarray(outputs[0]))
    return rows, found
