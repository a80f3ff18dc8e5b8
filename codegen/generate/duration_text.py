"""The formulas of `durations.py` as C functions and as tables of the documentation."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tvm_re2na.codegen.isa.durations import DURATIONS, MACHINE, Part, field_names
from tvm_re2na.codegen.isa.table import INSTRUCTIONS, InstructionFormat

_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.FloorDiv: "over"}

_ARITHMETIC = """\
/* Whole numbers that stay at the largest one instead of overflowing. */
static inline uint64_t re2na_plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static inline uint64_t re2na_minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static inline uint64_t re2na_times(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }
static inline uint64_t re2na_over(uint64_t a, uint64_t b) { return b ? a / b : UINT64_MAX; }
static inline uint64_t re2na_ceil(uint64_t a, uint64_t b) { return b ? a / b + (a % b != 0) : UINT64_MAX; }
static inline uint64_t re2na_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t re2na_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

"""


def c_functions() -> str:
    """Arithmetic, one function per instruction, and `re2na_duration` over all of them."""
    cases = "".join(
        f"    case RE2NA_{row.name}: return re2na_{row.name.lower()}_cycles(arch{_body(row)});\n"
        for row in INSTRUCTIONS
    )
    return (
        _ARITHMETIC
        + "".join(_function(row) for row in INSTRUCTIONS)
        + "/* Cycles for which a valid instruction has its engine. A product beyond 64 bits counts as UINT64_MAX, so that what it\n"
        " * makes is still beyond 2^40 when a bandwidth has divided it. */\n"
        "static inline uint64_t re2na_duration(const re2na_arch *arch, const re2na_instruction *at) {\n"
        f"  switch (at->opcode) {{\n{cases}    default: return 0;\n  }}\n}}\n\n"
    )


def tables() -> str:
    """Markdown: one table of parts per instruction, LOAD and STORE together."""
    names: dict[tuple[Part, ...], list[str]] = {}
    for row in INSTRUCTIONS:
        names.setdefault(DURATIONS[row.name], []).append(row.name)
    return "\n".join(_table(", ".join(rows), parts) for parts, rows in names.items())


def _table(title: str, parts: tuple[Part, ...]) -> str:
    rows = "".join(f"| `{part.name}` | `{part.expression}` | {part.doc} |\n" for part in parts)
    return f"### {title}\n\n| part | is | why |\n|---|---|---|\n{rows}"


def _body(row: InstructionFormat) -> str:
    return f", &at->body.{row.name.lower()}" if row.body else ""


def _function(row: InstructionFormat) -> str:
    """Each part is a variable; names that no expression uses are not there, so that no compiler warns."""
    name = row.name.lower()
    arguments = "const re2na_arch *arch" + (f", const re2na_{name} *at" if row.body else "")
    fields = field_names(row.name)
    unused = "" if MACHINE & set(fields) else "  (void)arch;\n"
    unused += "  (void)at;\n" if row.body and not set(fields) - MACHINE else ""
    places = {field: f"arch->{field}" if field in MACHINE else f"at->{row.places[field]}" for field in fields}
    lines = "".join(
        f"  const uint64_t {part.name} = {_c(ast.parse(part.expression, mode='eval').body, places)};\n"
        for part in DURATIONS[row.name]
    )
    return f"static inline uint64_t re2na_{name}_cycles({arguments}) {{\n{unused}{lines}  return cycles;\n}}\n\n"


def _c(node: ast.expr, places: Mapping[str, str]) -> str:
    """One expression in C; `places`: what a name is in C that is no part."""
    if isinstance(node, ast.Constant):
        return f"UINT64_C({node.value!r})"
    if isinstance(node, ast.Name):
        return f"(uint64_t){places[node.id]}" if node.id in places else node.id
    if isinstance(node, ast.BinOp):
        return f"re2na_{_OPERATORS[type(node.op)]}({_c(node.left, places)}, {_c(node.right, places)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"re2na_{node.func.id}({', '.join(_c(argument, places) for argument in node.args)})"
    raise ValueError(f"no C for {ast.unparse(node)}")
