"""The names of the source model's operators and tensors, which TVM keeps as spans."""

from __future__ import annotations

import tvm
from tvm import relay


def span_name(expr: relay.Expr) -> str | None:
    """The name of the source operator or tensor that `expr` comes from, if its span tells."""
    span = expr.span
    if isinstance(span, tvm.ir.SequentialSpan):
        span = span.spans[0] if len(span.spans) else None
    return str(span.source_name.name) or None if isinstance(span, tvm.ir.Span) else None
