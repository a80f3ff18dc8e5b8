"""Which of a network's inputs an expression is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def origin_of(expr: Any, parameters: Sequence[Any], operand: Callable[[Any], Any]) -> int | None:
    """The number of the parameter from which a chain of operators leads to `expr`, by the first operand of each (`operand`)."""
    while expr is not None:
        for index, parameter in enumerate(parameters):
            if expr.same_as(parameter):
                return index
        expr = operand(expr)
    return None
