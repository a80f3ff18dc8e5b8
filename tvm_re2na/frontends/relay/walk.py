"""Going through Relay: operators' names, attributes, operands."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relay


def op_name(expr: relay.Expr) -> str:
    """The operator's name of a call, otherwise an empty string."""
    return str(expr.op.name) if isinstance(expr, relay.Call) and isinstance(expr.op, tvm.ir.Op) else ""


def attributes_of(attrs: Any) -> dict[str, Any]:
    """The attributes of a call by their names."""
    names: list[str] = attrs.keys()  # they are no mapping of Python's
    return {name: attrs[name] for name in names}


def all_of(expr: relay.Expr) -> list[relay.Expr]:
    """All that an expression is made of, each after what it reads, and the expression last."""
    found: list[relay.Expr] = []
    relay.analysis.post_order_visit(expr, found.append)
    return found


def operands_of(expr: relay.Expr) -> list[relay.Expr]:
    """What an expression reads; of a function its body."""
    if isinstance(expr, relay.Call):
        return list(expr.args)
    if isinstance(expr, relay.Tuple):
        return list(expr.fields)
    if isinstance(expr, relay.TupleGetItem):
        return [expr.tuple_value]
    return [expr.body] if isinstance(expr, relay.Function) else []
