"""The patterns "re2na.*": which Relax expressions make one operator of the machine.

The patterns are about form only; whether the machine takes an operator is decided by `codegen.offload.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tvm import relax
from tvm.relax.backend.pattern_registry import register_patterns
from tvm.relax.dpl import is_const, is_op, is_tuple, wildcard
from tvm.relax.transform import FusionPattern, PatternCheckContext

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload import rules
from tvm_re2na.frontends.common.marks import PREFIX
from tvm_re2na.frontends.common.moving import MOVING
from tvm_re2na.frontends.common.pairs import PAIRS
from tvm_re2na.frontends.relax.describe import describe, is_form
from tvm_re2na.frontends.relax.names import source_name
from tvm_re2na.frontends.relax.walk import Values, bindings_of, op_name

SOURCE_ATTR = "re2na_source"  # of a composite function: the name of its operator in the source
USUAL_CONCATS = range(2, 9)  # where the module is not known
Pattern = Any  # a tvm.relax.dpl.DFPattern


class Form(NamedTuple):
    """What one operator of the machine looks like; `main` is the part of the pattern that has the operator's name."""

    kind: str
    pattern: Pattern
    main: Pattern

    def clamped(self) -> Form:
        """With a clip behind it."""
        return Form(self.kind, _clip(self.pattern), self.main)


def forms(concats: Iterable[int]) -> list[Form]:
    """Every form; of forms that contain each other, the larger stands first. `concats`: of how many operands, for each number.

    A clamp between a `dequantize` and a `quantize` belongs to the operator before it, up to twice; otherwise it is one of its own.
    """
    convolutions = [_conv2d(_pad().pattern), _conv2d(wildcard()), _conv2d(wildcard(), "conv2d_transpose")]
    plain = [*convolutions, _dense(), *_of_two(), *_moving(clamped=True)]
    clamped = [form.clamped() for form in plain]
    twice = [form.clamped() for form in clamped]
    clip, lookup = _clip(wildcard()), _lookup()
    single = [Form("clip", clip, clip), Form("lookup", lookup, lookup)]
    return [*twice, *clamped, *plain, *_moving(clamped=False), *map(_concat, concats), _pad(), *single]


def operands_of_concats(function: relax.Function) -> list[int]:
    """How many operands concatenations in it have: a pattern has a number of them."""
    calls = (value for _, value in bindings_of(function) if op_name(value) == "concat")
    return sorted({len(call.args[0].fields) for call in calls if isinstance(call.args[0], relax.Tuple)})


def fusion_patterns(concats: Iterable[int]) -> list[FusionPattern]:
    """The forms for FuseOpsByPattern, those tried first at the beginning, whether a machine takes them or not."""
    return [
        FusionPattern(PREFIX + form.kind, form.pattern, {"main": form.main}, _accepted(form.kind, None), _source)
        for form in forms(concats)
    ]


def _source(annotated: Mapping[str, Any]) -> dict[str, str]:
    name = source_name(annotated["main"])
    return {SOURCE_ATTR: name} if name else {}


def _accepted(kind: str, arch: Architecture | None) -> Callable[[PatternCheckContext], bool]:
    def accepted(context: PatternCheckContext) -> bool:
        values = dict(context.matched_bindings.items())
        if not _is_closed(context, values) or not is_form(kind, context.matched_expr, values):
            return False
        return arch is None or rules.check(describe(kind, context.matched_expr, values), arch) is None

    return accepted


def _is_closed(context: PatternCheckContext, values: Values) -> bool:
    """Whether nothing outside the form reads what is between its operators."""
    inner = (variable for variable, value in values.items() if not value.same_as(context.matched_expr))
    return all(user in values for variable in inner for user in context.var_usages.get(variable, []))


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


def _conv2d(data: Pattern, kind: str = "conv2d") -> Form:
    """dequantize -> conv2d [+ bias] [clamps] -> quantize."""
    sums = is_op(f"relax.nn.{kind}")(_dequantized(data), _dequantized(wildcard()))
    bias = is_op("relax.reshape")(_bias(), wildcard())
    return Form(kind, _quantized(_clamped(sums | is_op("relax.add")(sums, bias))), sums)


def _dense() -> Form:
    """dequantize -> matmul [+ bias] [clamps] -> quantize; the weights transposed or not."""
    weight = _dequantized(wildcard())
    sums = is_op("relax.matmul")(_dequantized(wildcard()), weight | is_op("relax.permute_dims")(weight))
    return Form("dense", _quantized(_clamped(sums | is_op("relax.add")(sums, _bias()))), sums)


def _bias() -> Pattern:
    """Quantised, or a constant in floating point as PyTorch leaves it."""
    return _dequantized(wildcard()) | is_const()


def _of_two() -> Iterator[Form]:
    for kind, pair in PAIRS.items():
        main = is_op(f"relax.{pair.name}")(_dequantized(wildcard()), _dequantized(wildcard()))
        yield Form(kind, _quantized(_clamped(main)), main)


def _moving(*, clamped: bool) -> Iterator[Form]:
    """dequantize -> operator [clamps] -> quantize, of those that clamps are part of, or of the others."""
    for kind, moving in MOVING.items():
        for name, further in moving.relax.items() if moving.clamped == clamped else ():
            main = is_op(f"relax.{name}")(_dequantized(wildcard()), *[wildcard() for _ in range(further)])
            yield Form(kind, _quantized(_clamped(main) if clamped else main), main)


def _concat(operands: int) -> Form:
    main = is_op("relax.concat")(is_tuple([_dequantized(wildcard()) for _ in range(operands)]))
    return Form("concat", _quantized(main), main)


def _pad() -> Form:
    main = is_op("relax.nn.pad")(_dequantized(wildcard()))
    return Form("pad", _quantized(main), main)


def _clip(x: Pattern) -> Pattern:
    """One or two clamps of quantised values."""
    values = _dequantized(x)
    return _quantized(_clamp(values) | _clamp(_clamp(values)))


def _lookup() -> Pattern:
    """As `lookups` makes them."""
    places = is_op("relax.add")(is_op("relax.astype")(wildcard()), is_const())
    return is_op("relax.take")(is_const(), places)


# As tuples, whose names the registry remembers in order to let go of the checks before Python ends; it tries the last first.
register_patterns(
    [
        (PREFIX + form.kind, form.pattern, {}, _accepted(form.kind, Architecture()))
        for form in forms(USUAL_CONCATS)[::-1]
    ]
)
