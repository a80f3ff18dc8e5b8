"""The patterns "re2na.*": which Relax expressions make one operator of the machine.

The patterns are about form only; whether the machine takes an operator is decided by `codegen.constraints`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from tvm.relax.backend.pattern_registry import register_patterns
from tvm.relax.dpl import is_const, is_op, wildcard
from tvm.relax.transform import FusionPattern, PatternCheckContext

from tvm_re2na.codegen import constraints
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.relax.describe import describe, is_form

PREFIX = "re2na."
MOST_CLAMPS = 2
Pattern = Any  # a tvm.relax.dpl.DFPattern


def kind_of(composite: str) -> str:
    """`conv2d` of `re2na.conv2d`."""
    return composite.removeprefix(PREFIX)


def forms() -> list[tuple[str, Pattern]]:
    """Kind and pattern of every form; larger forms stand first."""
    return [*_linear(), *_with_clamps("add", _add), *_with_clamps("max_pool2d", _max_pool2d), *_moves(), ("pad", _pad()), *_clips()]


def fusion_patterns(arch: Architecture | None) -> list[FusionPattern]:
    """The forms for FuseOpsByPattern, those tried first at the beginning; with `arch`, only what keeps its rules matches."""
    return [FusionPattern(PREFIX + kind, pattern, {}, _accepted(kind, arch)) for kind, pattern in forms()]


def _accepted(kind: str, arch: Architecture | None) -> Callable[[PatternCheckContext], bool]:
    def accepted(context: PatternCheckContext) -> bool:
        values = dict(context.matched_bindings.items())
        if not is_form(kind, context.matched_expr, values):
            return False
        return arch is None or constraints.check(describe(kind, context.matched_expr, values), arch) is None

    return accepted


def _dequantized(x: Pattern) -> Pattern:
    return is_op("relax.dequantize")(x, wildcard(), wildcard())


def _quantized(x: Pattern) -> Pattern:
    return is_op("relax.quantize")(x, wildcard(), wildcard())


def _clamp(x: Pattern) -> Pattern:
    binary = [is_op(f"relax.{name}")(x, is_const()) for name in ("maximum", "minimum")]
    return is_op("relax.nn.relu")(x) | is_op("relax.clip")(x, wildcard(), wildcard()) | binary[0] | binary[1]


def _clamped(x: Pattern, count: int) -> Pattern:
    return _clamped(_clamp(x), count - 1) if count else x


def _linear() -> Iterator[tuple[str, Pattern]]:
    """dequantize -> op [+ bias] [clamps] -> quantize, largest first."""
    for clamps, bias in product(range(MOST_CLAMPS, -1, -1), (True, False)):
        flat = _dequantized(wildcard())
        channels = is_op("relax.reshape")(_dequantized(wildcard()), wildcard())
        weight = _dequantized(wildcard())
        transposed = is_op("relax.permute_dims")(weight)
        for kind, op, weights, added in (
            ("conv2d", "relax.nn.conv2d", weight, channels),
            ("dense", "relax.matmul", transposed, flat),
            ("dense", "relax.matmul", weight, flat),
        ):
            out = is_op(op)(_dequantized(wildcard()), weights)
            out = is_op("relax.add")(out, added) if bias else out
            yield kind, _quantized(_clamped(out, clamps))


def _with_clamps(kind: str, form: Callable[[], Pattern]) -> Iterator[tuple[str, Pattern]]:
    for clamps in range(MOST_CLAMPS, -1, -1):
        yield kind, _quantized(_clamped(form(), clamps))


def _add() -> Pattern:
    return is_op("relax.add")(_dequantized(wildcard()), _dequantized(wildcard()))


def _max_pool2d() -> Pattern:
    return is_op("relax.nn.max_pool2d")(_dequantized(wildcard()))


def _moves() -> Iterator[tuple[str, Pattern]]:
    for op, arguments in (("reshape", [wildcard()]), ("squeeze", []), ("expand_dims", []), ("flatten", [])):
        yield "reshape", _quantized(is_op(f"relax.{op}")(_dequantized(wildcard()), *arguments))


def _pad() -> Pattern:
    return _quantized(is_op("relax.nn.pad")(_dequantized(wildcard())))


def _clips() -> Iterator[tuple[str, Pattern]]:
    for clamps in range(MOST_CLAMPS, 0, -1):
        yield "clip", _quantized(_clamped(_dequantized(wildcard()), clamps))


# As tuples, whose names the registry remembers in order to let go of the checks before Python ends; it tries the last first.
register_patterns([(PREFIX + kind, pattern, {}, _accepted(kind, Architecture())) for kind, pattern in forms()[::-1]])
