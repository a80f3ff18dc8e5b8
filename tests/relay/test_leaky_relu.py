"""`debug` beside TVM 0.19's own conversion to integers, which applies a LeakyRelu's slope twice: on int8 the inner one is 0."""

from __future__ import annotations

import pytest
import tvm
from tvm import relay

from tests.debugging.test_debug import QUICK, network
from tvm_re2na import debug
from tvm_re2na.data import in_memory
from tvm_re2na.frontends.relay import partition
from tvm_re2na.quantize import quantize


def converted_by_tvm(mod: tvm.IRModule) -> tvm.IRModule:
    passes = relay.transform
    return tvm.transform.Sequential([passes.FakeQuantizationToInteger(), passes.InferType()])(mod)


def test_it_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = network("LeakyRelu", alpha=0.25)
    quantized = quantize(model, images, options=QUICK).model
    monkeypatch.setattr(partition, "to_integers", converted_by_tvm)
    found = debug(quantized, in_memory("images", images[:2], None), float_model=model)
    first = found.suspects[0]
    assert "leakyrelu_1" in first.nodes
    assert found.first_parting["onnx_runtime_tvm_beyond_ties"] == first.name
    assert first.onnx_runtime_tvm is not None and (first.onnx_runtime_tvm.steps or 0) > 5
    assert [row.name for row in found.operators if row.parts] == [first.name]
