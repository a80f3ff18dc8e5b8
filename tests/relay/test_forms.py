"""Forms that only Relay has: QLinear operators, and QNN operators that no model file could hold."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relay

from tests.frontends.harness import compare
from tests.frontends.qdq import QdqBuilder
from tests.frontends.qlinear import qlinear_network
from tests.relay import harness
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.relay import explain, partition_for_re2na

RNG = np.random.default_rng(0)


def test_qlinear_operators() -> None:
    module = harness.load(qlinear_network(RNG))
    assert [row.name for row in explain(module) if not row.offloaded and row.rule != "host_boundary"] == []
    kinds = compare(harness, partition_for_re2na(module), RNG)
    # matmul2 rounds ties away from zero: two halves and their sum
    assert kinds == ["conv2d", "conv2d", "add", "max_pool2d", "reshape", "dense", "dense", "dense", "add"]


def test_computed_weights_and_operands() -> None:
    x, w = relay.var("x", shape=(1, 2, 4, 4), dtype="int8"), relay.var("w", shape=(3, 2, 1, 1), dtype="int8")
    zero, one = relay.const(0), relay.const(np.float32(1))
    y = relay.qnn.op.conv2d(x, w, zero, zero, one, one, (1, 1), 3)
    y = relay.qnn.op.requantize(y, one, zero, relay.const(np.float32(16)), zero, axis=1, out_dtype="int8")
    assert _rule(y, "conv2d") == "constant_weights"
    constant = relay.const(np.ones((1, 2, 4, 4), np.int8))
    assert _rule(relay.qnn.op.add(x, constant, one, zero, one, zero, one, zero), "add") == "computed_operands"


def test_another_layout() -> None:
    x, zero, one = relay.var("x", shape=(1, 4, 4, 2), dtype="int8"), relay.const(0), relay.const(np.float32(1))
    weight = relay.const(np.ones((1, 1, 2, 3), np.int8))
    y = relay.qnn.op.conv2d(
        x, weight, zero, zero, one, one, (1, 1), 3, data_layout="NHWC", kernel_layout="HWIO", out_dtype="int32"
    )
    y = relay.qnn.op.requantize(y, one, zero, relay.const(np.float32(16)), zero, axis=3, out_dtype="int8")
    assert _rule(y, "conv2d") == "nchw_layout"


def test_scales_that_no_shift_can_make() -> None:
    """TVM would shift by more than 64 bits. Fake quantisation stays in floating point; what is integer already is refused."""
    net = QdqBuilder((1, 2, 4, 4))
    net.conv(RNG.integers(-9, 9, (3, 2, 1, 1), dtype=np.int8), weight_scale=1e22)
    (row,) = [row for row in explain(harness.load(net.build())) if row.op == "conv2d"]
    assert (row.offloaded, row.rule) == (False, "power_of_two_scales")
    x, zero, small = relay.var("x", shape=(1, 2, 4, 4), dtype="int8"), relay.const(0), relay.const(np.float32(1e-20))
    for scale in (1.0, 0.0, np.nan):
        y = relay.qnn.op.requantize(x, small, zero, relay.const(np.float32(scale)), zero, axis=1, out_dtype="int8")
        with pytest.raises(CompileError, match=r"qnn\.requantize: scales with a ratio of"):
            explain(tvm.IRModule.from_expr(y))


def _rule(expr: relay.Expr, op: str) -> str | None:
    (row,) = [row for row in explain(tvm.IRModule.from_expr(expr)) if row.op == op]
    assert not row.offloaded
    return row.rule
