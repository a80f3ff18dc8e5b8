"""What a rule of `rules.py` is: how it is registered, what it returns, and what the rules have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.offload.operator import Operator, Scalar

Violation: TypeAlias = tuple[Scalar, Scalar]  # the value found, and the limit
Rule: TypeAlias = Callable[[Operator, Architecture], Violation | None]
RULES: list[tuple[tuple[str, ...], Rule]] = []


@dataclass(frozen=True)
class Rejection:
    """The first rule an operator breaks, with the value found and the limit it crosses."""

    rule: str
    reason: str
    value: Scalar
    limit: Scalar


def constraint(*kinds: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators of `kinds`; the order of the file is the order of the checks."""

    def register(rule: Rule) -> Rule:
        RULES.append((kinds, rule))
        return rule

    return register


def reason(rule: Callable[..., object]) -> str:
    """The rule's docstring on one line."""
    return " ".join((rule.__doc__ or "").split())


def field_violation(arch: Architecture, instruction: str, values: dict[str, int]) -> Violation | None:
    """The first value that is outside the limits of its field, and the limit that it crosses."""
    for name, value in values.items():
        least, most = limits_of(arch, instruction, name)
        if not least <= value <= most:
            return f"{name} {value}", least if value < least else most
    return None


def shape_text(shape: tuple[int | None, ...]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)
