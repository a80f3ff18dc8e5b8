"""Operators keep the names they have in the source model."""

from __future__ import annotations

import numpy as np

from tests.frontends.qdq import lenet
from tests.frontends.qlinear import qlinear_network
from tests.relay.harness import load
from tvm_re2na.relay import explain

RNG = np.random.default_rng(0)


def test_qdq_model() -> None:
    names = [row.name.split("_")[0] for row in explain(load(lenet(RNG, batch=2))) if row.offloaded]
    assert names == ["conv", "maxpool", "conv", "maxpool", "flatten", "gemm", "gemm"]


def test_qlinear_model() -> None:
    names = {row.name for row in explain(load(qlinear_network(RNG)))}
    assert {"conv1", "conv2", "add1", "pool1", "flat1", "matmul1", "matmul2"} <= names
