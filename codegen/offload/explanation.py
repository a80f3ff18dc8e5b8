"""Where each operator of a model runs, and why: what both front ends tell their users."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.constraint import Rejection, reason
from tvm_re2na.codegen.offload.operator import KINDS, Scalar

# rules that a network keeps once it is quantised again, with power-of-two scales
OF_THE_QUANTISATION = frozenset(
    rule.__name__ for rule in (rules.int8_data, rules.zero_points, rules.per_tensor_scales, rules.power_of_two_scales)
)


@dataclass(frozen=True)
class Explanation:
    """One operator. `rule`, `value` and `limit` tell what keeps it on the CPU; they are None where it is offloaded.

    `region`: which of the network's parts on Re²Na it is in, from 0; None on the CPU. `crossing_bytes`: the inputs and outputs of
    that part for one run of the module, noted at the first of its operators.
    """

    name: str
    op: str
    offloaded: bool
    rule: str | None
    reason: str
    value: Scalar | None
    limit: Scalar | None
    region: int | None = None
    crossing_bytes: int = 0


def offloaded(operators: Iterable[tuple[str, str]], region: int, crossing_bytes: int) -> list[Explanation]:
    """The operators of a region, each with its kind."""
    return [
        Explanation(name, kind, True, None, "Runs on Re²Na.", None, None, region, 0 if index else crossing_bytes)
        for index, (name, kind) in enumerate(operators)
    ]


def kept(name: str, kind: str, rejection: Rejection | None) -> Explanation:
    """An operator of the machine that stays on the CPU; without a rejection, because its surroundings are not worth moving."""
    rejection = rejection or moves_only(kind)
    return Explanation(name, kind, False, rejection.rule, rejection.reason, rejection.value, rejection.limit)


def moves_only(kind: str) -> Rejection:
    """Of an operator whose whole region only moves data."""
    return _rejected(rules.worthwhile, kind, "a linear operator, pooling, addition or product")


def small(computed: int, crossing_bytes: int) -> Rejection:
    """Of the operators of a region that computes less than it moves."""
    return _rejected(rules.enough_work, computed, crossing_bytes)


def foreign(name: str, op: str, dtypes: Collection[str], unquantised: bool) -> Explanation:
    """An operator that matched no form of the machine's; `unquantised`: it is one, on integers, but its result is not int8."""
    if rules.host_boundary(op):
        return kept(name, op, _rejected(rules.host_boundary, op, "int8"))
    if unquantised and rules.requantised(op):
        return kept(name, op, _rejected(rules.requantised, "int32", "int8"))
    if "float32" in dtypes and "int8" not in dtypes:
        return kept(name, op, _rejected(rules.quantised, "float32", "int8"))
    if rules.exact_average(op):
        return kept(name, op, _rejected(rules.exact_average, op, "depthwise conv2d"))
    return kept(name, op, _rejected(rules.known_operator, op, ", ".join(KINDS)))


def next_step(broken: Iterable[str | None], model: str = "MODEL.onnx") -> str:
    """The command that mends what these rules keep on the CPU; an empty string where it would not."""
    if OF_THE_QUANTISATION.isdisjoint(broken):
        return ""
    return f"`re2na requantize {model} --calibration DATA` quantises it again, with power-of-two scales"


def _rejected(rule: Callable[..., object], value: Scalar, limit: Scalar) -> Rejection:
    return Rejection(rule.__name__, reason(rule), value, limit)
