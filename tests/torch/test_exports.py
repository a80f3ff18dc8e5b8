"""PyTorch's own exports to ONNX, by TorchScript and by dynamo: quantised, explained, built, and the bits of TVM's CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from tests.models.topologies import quickly_quantized
from tests.torch.exported import export, small, trained
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.onnx_runtime import session

LEAST_DB = 20


# what these two leave out of four ways and thirty networks, benchmarks/exports.py goes through
@pytest.mark.parametrize(("name", "dynamo", "open_batch"), [("mixed", True, True), ("shuffled", False, True)])
def test_exported_networks(tmp_path: Path, name: str, dynamo: bool, open_batch: bool) -> None:
    model, images = trained(lambda: small()[name])
    export(model, images, tmp_path / "net.onnx", dynamo=dynamo, open_batch=open_batch)
    floating = pipeline.load_model(tmp_path / "net.onnx")
    assert pipeline.model_input(floating).batch == (None if open_batch else 1)
    quantized = quickly_quantized(floating, images.numpy(), Architecture())
    given = images.numpy()[: 2 if open_batch else 1]
    mod, params = pipeline.import_into_tvm(quantized, len(given))
    built = pipeline.build_for_re2na(mod, params, Architecture())
    assert built.offloaded_macs_share == 1.0
    found = built.executor()(given)
    mod, params = pipeline.import_into_tvm(quantized, len(given))
    for ours, cpu in zip(found, pipeline.build_for_cpu(mod, params).executor()(given), strict=True):
        np.testing.assert_array_equal(ours, cpu)
    wanted = session(onnx.load(tmp_path / "net.onnx").SerializeToString()).run(None, {"input": given})
    with torch.no_grad():
        answered = model(torch.tensor(given))
    for ours, theirs, answer in zip(
        found, wanted, answered if isinstance(answered, tuple) else (answered,), strict=True
    ):
        np.testing.assert_allclose(theirs, answer.numpy(), rtol=1e-4, atol=1e-4)
        noise = float(((np.asarray(ours, np.float64) - theirs) ** 2).sum())
        assert 10 * np.log10(float((theirs.astype(np.float64) ** 2).sum()) / max(noise, 1e-30)) > LEAST_DB
