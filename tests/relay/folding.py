"""TVM folds a constant by building a function for it: in tests the same few scales and zero points again and again.

Its importer and FakeQuantizationToInteger spend most of their time so. `install` spares them that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tvm
from tvm import relay
from tvm.relay.backend import te_compiler

LARGEST = 64  # elements of a result that is kept


def remembered(fold: Callable[..., relay.Expr]) -> Callable[..., relay.Expr]:
    """`relay.transform.FoldConstantExpr` that folds equal expressions once; `fold` is TVM's."""
    known: dict[int, list[tuple[relay.Expr, relay.Expr]]] = {}

    def folded(expr: relay.Expr, mod: tvm.IRModule, *options: Any, **named: Any) -> relay.Expr:
        if options or named or mod.functions:
            return fold(expr, mod, *options, **named)
        alike = known.setdefault(tvm.ir.structural_hash(expr), [])
        for other, result in alike:
            if tvm.ir.structural_equal(other, expr):
                return result
        result = fold(expr, mod)
        if isinstance(result, relay.Constant) and result.data.numpy().size <= LARGEST:
            alike.append((expr, result))
        return result

    return folded


def folding(cast: Callable[..., relay.Expr]) -> Callable[..., relay.Expr]:
    """`relay.op.cast` that gives a constant for a small constant; `cast` is TVM's."""

    def converted(data: relay.Expr, dtype: str) -> relay.Expr:
        if isinstance(data, relay.Constant) and (values := data.data.numpy()).size <= LARGEST:
            return relay.const(values.astype(dtype), dtype)
        return cast(data, dtype)

    return converted


def install() -> None:
    relay.transform.FoldConstantExpr = remembered(relay.transform.FoldConstantExpr)
    relay.op.cast = folding(relay.op.cast)
    te_compiler.libinfo = functools.cache(te_compiler.libinfo)  # asked for once per dimension of every tensor
