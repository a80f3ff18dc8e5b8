"""Expressions of the instruction table and of the cycle model: Python over whole numbers, which C computes alike.

Names are fields of the instruction, fields of the machine, and what is defined beside them; then there are whole numbers,
`+ - * //`, `min`, `max` and `ceil(a, b)`, which is a / b rounded up. No value is negative, what is subtracted is never larger than
what it is subtracted from, and nothing is divided by zero, where the instruction is valid.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from tvm_re2na.codegen.arch import Architecture

MACHINE = frozenset(field.name for field in dataclasses.fields(Architecture))  # names that mean a field of the machine


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)


_FUNCTIONS: dict[str, Callable[..., int]] = {"min": min, "max": max, "ceil": _ceil}
GLOBALS: dict[str, Any] = {"__builtins__": {}, **_FUNCTIONS}  # of the code that expressions are compiled to


def parse(expression: str) -> ast.expr:
    """Its syntax tree; SyntaxError where it is none."""
    return ast.parse(expression, mode="eval").body


def names_of(expressions: Iterable[str]) -> tuple[str, ...]:
    """Names of fields, in the order in which the expressions have them, each once."""
    nodes = (node for expression in expressions for node in ast.walk(parse(expression)))
    names = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name))
    return tuple(name for name in names if name not in _FUNCTIONS)
