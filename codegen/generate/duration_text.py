"""The formulas of `durations.py` as C functions and as tables of the documentation."""

from __future__ import annotations

from tvm_re2na.codegen.generate.expression_text import c_of
from tvm_re2na.codegen.isa.durations import DURATIONS, Part, field_names
from tvm_re2na.codegen.isa.expressions import MACHINE
from tvm_re2na.codegen.isa.table import INSTRUCTIONS, InstructionFormat


def c_functions() -> str:
    """One function per instruction, and `re2na_duration` over all of them."""
    cases = "".join(
        f"    case RE2NA_{row.name}: return re2na_{row.name.lower()}_cycles(arch{_body(row)});\n"
        for row in INSTRUCTIONS
    )
    return (
        "".join(_function(row) for row in INSTRUCTIONS)
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
        f"  const uint64_t {part.name} = {c_of(part.expression, places)};\n" for part in DURATIONS[row.name]
    )
    return f"static inline uint64_t re2na_{name}_cycles({arguments}) {{\n{unused}{lines}  return cycles;\n}}\n\n"
