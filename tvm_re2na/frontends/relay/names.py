"""Finds the source model's operator names again.

FakeQuantizationToInteger makes new calls without spans, but keeps the constants: weights, biases and scales still carry
their own spans. So before it runs, each constant's span is remembered together with the operator it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable

import tvm
from tvm import relay

from tvm_re2na.frontends.common.description import CLAMPS
from tvm_re2na.frontends.common.nodes import SCALED
from tvm_re2na.frontends.relay.describe import op_name

LINEAR = ("nn.conv2d", "nn.dense", "qnn.conv2d", "qnn.dense")
MAIN = (*SCALED, *(f"qnn.{op.removeprefix('nn.')}" for op in SCALED))
PASSED_THROUGH = ("nn.max_pool2d", "nn.bias_add", "reshape", "nn.batch_flatten", *CLAMPS)


class SourceNames:
    """The operators' names by the spans of their constants."""

    def __init__(self, expr: relay.Expr) -> None:
        """Read `expr` as the front end made it, before FakeQuantizationToInteger."""
        self._names: dict[str, set[str]] = {}
        relay.analysis.post_order_visit(expr, self._visit)

    def find(self, calls: list[relay.Call], constants: Iterable[relay.Expr]) -> str | None:
        """The name of the operator that became `calls`, main call first, and owns `constants`; None if nothing tells."""
        known = (self._names.get(span_name(constant) or "", set()) for constant in constants)
        owners = [next(iter(found)) for found in known if len(found) == 1]
        spans = list(map(span_name, calls))
        return next((name for name in (spans[0], *owners, *spans[1:]) if name), None)

    def _visit(self, expr: relay.Expr) -> None:
        if op_name(expr) in LINEAR and span_name(expr):
            weight = expr.args[1].args[0] if op_name(expr.args[1]) == "qnn.dequantize" else expr.args[1]
            self._remember(weight, expr)
        if op_name(expr) == "qnn.quantize":
            main = expr.args[0]
            while op_name(main) in PASSED_THROUGH:
                main = main.args[0]
            if op_name(main) in MAIN and span_name(main):
                self._remember(expr.args[1], main)

    def _remember(self, constant: relay.Expr, call: relay.Call) -> None:
        key, name = span_name(constant), span_name(call)
        if isinstance(constant, relay.Constant) and key and name:
            self._names.setdefault(key, set()).add(name)


def span_name(expr: relay.Expr) -> str | None:
    """The name of the source operator or tensor that `expr` comes from, if its span tells."""
    span = expr.span
    if isinstance(span, tvm.ir.SequentialSpan):
        span = span.spans[0] if len(span.spans) else None
    return str(span.source_name.name) or None if isinstance(span, tvm.ir.Span) else None
