"""The pattern table "re2na": which Relay expressions make one operator of the machine.

The patterns are about form only; whether the machine takes an operator is decided by `codegen.offload.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from tvm import relay
from tvm.relay.dataflow_pattern import is_constant, is_op, is_tuple, wildcard
from tvm.relay.op.contrib.register import register_pattern_table

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload import rules
from tvm_re2na.frontends.common.description import CLAMPS
from tvm_re2na.frontends.common.marks import PREFIX, kind_of
from tvm_re2na.frontends.common.moving import MOVING, Moving
from tvm_re2na.frontends.common.pairs import PAIRS, Pair
from tvm_re2na.frontends.common.qdq import is_form
from tvm_re2na.frontends.relay.describe import describe, dtype_of, foldable_padding, is_pair
from tvm_re2na.frontends.relay.reader import RelayReader

Pattern = Any  # a tvm.relay.dataflow_pattern.DFPattern
Entry = tuple[str, Pattern, Callable[[relay.Expr], bool]]


def form_table(ops: Set[str] | None = None) -> list[Entry]:
    """Name, pattern and check of every form, whether the machine takes it or not; larger forms stand first.

    Of a module that holds no operators but `ops`, only the forms that can be there: TVM goes through all of it for each.
    """

    def quantised(expr: relay.Expr) -> bool:
        return not dtype_of(expr).startswith("float")

    padded = is_op("nn.pad")(wildcard(), _constant())
    forms = [
        (["nn.pad"], "conv2d", _linear("qnn.conv2d", padded), foldable_padding),
        (["qnn.conv2d"], "conv2d", _linear("qnn.conv2d", wildcard()), quantised),
        (["qnn.conv2d_transpose"], "conv2d_transpose", _linear("qnn.conv2d_transpose", wildcard()), quantised),
        (["qnn.dense"], "dense", _linear("qnn.dense", wildcard()), quantised),
        *(([pair.integers], kind, _of_two(pair), _checked(pair.integers)) for kind, pair in PAIRS.items()),
        (["take"], "lookup", _lookup(), lambda expr: is_form("lookup", expr, RelayReader())),
        (["concatenate"], "concat", is_op("concatenate")(is_tuple(None)), quantised),
        *(([*moving.relay], kind, _moving(moving), quantised) for kind, moving in MOVING.items()),
        (["nn.pad"], "pad", is_op("nn.pad")(wildcard(), _constant()), quantised),
        (CLAMPS, "clip", _clamp(wildcard()), quantised),
    ]
    return [
        (PREFIX + kind, pattern, check)
        for roots, kind, pattern, check in forms
        if ops is None or not ops.isdisjoint(roots)
    ]


def _both(form: Callable[[relay.Expr], bool], name: str) -> Callable[[relay.Expr], bool]:
    def accepted(expr: relay.Expr) -> bool:
        return form(expr) and rules.check(describe(kind_of(name), expr), Architecture()) is None

    return accepted


def _constant() -> Pattern:
    """A constant, or what should have been one: a rule says so then, and the constant is part of the operator."""
    return is_constant() | wildcard()


def _constants(count: int) -> list[Pattern]:
    """As many different patterns: one and the same would have to match one and the same constant."""
    return [_constant() for _ in range(count)]


def _linear(op: str, data: Pattern) -> Pattern:
    """op [+ bias] [clamp] -> requantize [clamp], each clamp in up to two steps."""
    out = is_op(op)(data, *_constants(5))
    out = out.optional(lambda x: is_op("nn.bias_add")(x, _constant())).optional(
        lambda x: is_op("add")(x, is_constant())
    )
    return _clamped(is_op("qnn.requantize")(_clamped(out), *_constants(4)))


def _of_two(pair: Pair) -> Pattern:
    return _clamped(is_op(pair.integers)(*[wildcard(), wildcard(), *_constants(6 if pair.qnn else 0)]))


def _checked(name: str) -> Callable[[relay.Expr], bool]:
    """A maximum of a tensor and a constant is a clamp."""
    return lambda expr: not dtype_of(expr).startswith("float") and is_pair(name, expr)


def _moving(moving: Moving) -> Pattern:
    main = _any_of([is_op(name)(wildcard(), *_constants(further)) for name, further in moving.relay.items()])
    return _clamped(main) if moving.clamped else main


def _lookup() -> Pattern:
    return is_op("take")(is_constant(), is_op("add")(is_op("cast")(wildcard()), is_constant()))


def _clamped(x: Pattern) -> Pattern:
    return x.optional(_clamp).optional(_clamp)


def _clamp(x: Pattern) -> Pattern:
    binary = [is_op(name)(x, is_constant()) for name in ("maximum", "minimum")]
    return _any_of([is_op("nn.relu")(x), is_op("clip")(x), *binary])


def _any_of(patterns: list[Pattern]) -> Pattern:
    result = patterns[0]
    for pattern in patterns[1:]:
        result = result | pattern
    return result


@register_pattern_table("re2na")
def pattern_table() -> list[Entry]:
    """The forms, each accepted where it keeps every rule of the default architecture."""
    return [(name, pattern, _both(check, name)) for name, pattern, check in form_table()]
