"""Quantised models, kept with their reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx

from tvm_re2na import quantize as quantiser
from tvm_re2na.batches import Batch
from tvm_re2na.cache import current, keys
from tvm_re2na.codegen.arch import Architecture

if TYPE_CHECKING:
    from tvm_re2na.progress import Progress

MODEL, REPORT = "model", "report"  # the parts of an entry


def quantize(
    model: onnx.ModelProto,
    calibration: Batch,
    arch: Architecture,
    options: quantiser.QuantizeOptions | None,
    progress: Progress,
) -> quantiser.QuantizedModel:
    """As `tvm_re2na.quantize.quantize`, to the bit; from the cache where it was quantised before."""
    options = options or quantiser.QuantizeOptions()
    place = current()
    if place is None:
        return quantiser.quantize(model, calibration, arch=arch, options=options, progress=progress)
    key = keys.quantized_key(model, calibration, arch, options)
    kept = place.get(key)
    if kept is not None:
        report = quantiser.QuantizationReport.from_json(json.loads(kept[REPORT]))
        report.warn()
        return quantiser.QuantizedModel(onnx.ModelProto.FromString(kept[MODEL]), report)
    made = quantiser.quantize(model, calibration, arch=arch, options=options, progress=progress)
    told = json.dumps(made.report.to_json()).encode()
    place.put(key, {MODEL: made.model.SerializeToString(deterministic=True), REPORT: told})
    return made
