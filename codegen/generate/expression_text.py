"""Expressions of the tables in C."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tvm_re2na.codegen.isa.expressions import parse

_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.FloorDiv: "over"}

C_ARITHMETIC = """\
/* Whole numbers that stay at the largest one instead of overflowing. */
static inline uint64_t re2na_plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static inline uint64_t re2na_minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static inline uint64_t re2na_times(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }
static inline uint64_t re2na_over(uint64_t a, uint64_t b) { return b ? a / b : UINT64_MAX; }
static inline uint64_t re2na_ceil(uint64_t a, uint64_t b) { return b ? a / b + (a % b != 0) : UINT64_MAX; }
static inline uint64_t re2na_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t re2na_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

"""


def c_of(expression: str, places: Mapping[str, str]) -> str:
    """An expression in C, of type uint64_t; `places`: what a name is in C that is no variable of its own."""
    return _c(parse(expression), places)


def _c(node: ast.expr, places: Mapping[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return f"UINT64_C({node.value!r})"
    if isinstance(node, ast.Name):
        return f"(uint64_t){places[node.id]}" if node.id in places else node.id
    if isinstance(node, ast.BinOp):
        return f"re2na_{_OPERATORS[type(node.op)]}({_c(node.left, places)}, {_c(node.right, places)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"re2na_{node.func.id}({', '.join(_c(argument, places) for argument in node.args)})"
    raise ValueError(f"no C for {ast.unparse(node)}")
