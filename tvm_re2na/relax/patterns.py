"""The patterns "re2na.*": which Relax expressions make one operator of the machine.

The patterns are about form only; whether the machine takes an operator is decided by `codegen.constraints`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.relax.backend.pattern_registry import register_patterns
from tvm.relax.dpl import is_const, is_op, wildcard
from tvm.relax.transform import FusionPattern, PatternCheckContext

from tvm_re2na.codegen import constraints
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.relax.describe import describe, is_form

PREFIX = "re2na."
RESHAPES = {"reshape": 1, "squeeze": 0, "expand_dims": 0, "flatten": 0}  # operands besides the data
Pattern = Any  # a tvm.relax.dpl.DFPattern


def kind_of(composite: str) -> str:
    """`conv2d` of `re2na.conv2d`."""
    return composite.removeprefix(PREFIX)


def forms() -> list[tuple[str, Pattern]]:
    """Kind and pattern of every form; of forms that contain each other, the larger stands first.

    A clamp between a `dequantize` and a `quantize` belongs to the operator before it, up to twice; otherwise it is one of its own.
    """
    bases: list[tuple[str, Callable[[], Pattern]]] = [
        ("conv2d", lambda: _conv2d(_pad())),
        ("conv2d", lambda: _conv2d(wildcard())),
        ("dense", _dense),
        ("add", _add),
        ("max_pool2d", _max_pool2d),
    ]
    clamped = [(kind, _clip(_clip(base()))) for kind, base in bases]
    clamped += [(kind, _clip(base())) for kind, base in bases]
    plain = [(kind, base()) for kind, base in bases]
    moves = [("reshape", _reshape(op, operands)) for op, operands in RESHAPES.items()]
    return [*clamped, *plain, *moves, ("pad", _pad()), ("clip", _clip(wildcard()))]


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


def _clamped(x: Pattern) -> Pattern:
    """`x` with up to two clamps."""
    return x | _clamp(x) | _clamp(_clamp(x))


def _conv2d(data: Pattern) -> Pattern:
    """dequantize -> conv2d [+ bias] [clamps] -> quantize."""
    sums = is_op("relax.nn.conv2d")(_dequantized(data), _dequantized(wildcard()))
    bias = is_op("relax.reshape")(_bias(), wildcard())
    return _quantized(_clamped(sums | is_op("relax.add")(sums, bias)))


def _dense() -> Pattern:
    """dequantize -> matmul [+ bias] [clamps] -> quantize; the weights transposed or not."""
    weight = _dequantized(wildcard())
    sums = is_op("relax.matmul")(_dequantized(wildcard()), weight | is_op("relax.permute_dims")(weight))
    return _quantized(_clamped(sums | is_op("relax.add")(sums, _bias())))


def _bias() -> Pattern:
    """Quantised, or a constant in floating point as PyTorch leaves it."""
    return _dequantized(wildcard()) | is_const()


def _add() -> Pattern:
    return _quantized(_clamped(is_op("relax.add")(_dequantized(wildcard()), _dequantized(wildcard()))))


def _max_pool2d() -> Pattern:
    return _quantized(_clamped(is_op("relax.nn.max_pool2d")(_dequantized(wildcard()))))


def _reshape(op: str, operands: int) -> Pattern:
    return _quantized(is_op(f"relax.{op}")(_dequantized(wildcard()), *[wildcard() for _ in range(operands)]))


def _pad() -> Pattern:
    return _quantized(is_op("relax.nn.pad")(_dequantized(wildcard())))


def _clip(x: Pattern) -> Pattern:
    """One or two clamps of quantised values."""
    values = _dequantized(x)
    return _quantized(_clamp(values) | _clamp(_clamp(values)))


# As tuples, whose names the registry remembers in order to let go of the checks before Python ends; it tries the last first.
register_patterns([(PREFIX + kind, pattern, {}, _accepted(kind, Architecture())) for kind, pattern in forms()[::-1]])
