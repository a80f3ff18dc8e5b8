"""What fields may hold (`isa/limits.py`) as C functions, and as a column of the documentation."""

from __future__ import annotations

from tvm_re2na.codegen.generate.expression_text import c_of
from tvm_re2na.codegen.isa.expressions import MACHINE
from tvm_re2na.codegen.isa.limits import limit_names, limited
from tvm_re2na.codegen.isa.table import INSTRUCTIONS, Field, InstructionFormat

_RANGE = """\
/* What a field may hold on a machine, beside the instruction's other fields. */
typedef struct re2na_range {
  const char *field;
  size_t offset; /* of its value, an int64_t, in re2na_instruction */
  int64_t low, high;
} re2na_range;

static inline re2na_range re2na_range_at(const char *field, size_t offset, int64_t low, int64_t high) {
  re2na_range range;
  range.field = field;
  range.offset = offset;
  range.low = low;
  range.high = high;
  return range;
}

"""


def c_functions() -> str:
    """One function per instruction that has limited fields, and two over all of them."""
    rows = [row for row in INSTRUCTIONS if limited(row.name)]
    counts = "".join(f"    case RE2NA_{row.name}: return {len(limited(row.name))};\n" for row in rows)
    calls = "".join(
        f"    case RE2NA_{row.name}: return re2na_{row.name.lower()}_range(arch, &at->body.{row.name.lower()}, number);\n"
        for row in rows
    )
    return (
        _RANGE
        + "".join(_function(row) for row in rows)
        + "/* How many fields of an instruction's body may not hold all that their bits can. */\n"
        f"static inline unsigned re2na_range_count(uint32_t opcode) {{\n  switch (opcode) {{\n{counts}"
        "    default: return 0;\n  }\n}\n\n"
        "/* Of one of these; its limits are meant only where those of smaller numbers are kept. */\n"
        "static inline re2na_range re2na_range_of(const re2na_arch *arch, const re2na_instruction *at, unsigned number) {\n"
        f'  switch (at->opcode) {{\n{calls}    default: return re2na_range_at("", 0, 0, 0);\n  }}\n}}\n\n'
    )


def range_text(field: Field) -> str:
    """`1..255`, or with an expression: ``0..`acc_bits - 1` where `add` ``."""
    least = field.lowest if field.least is None else field.least
    limit = field.highest if field.limit is None else field.limit
    if least == limit:
        return str(least)
    where = "" if field.where is None else f" where `{field.where}`"
    return f"{least}..{f'`{limit}`' if isinstance(limit, str) else limit}{where}"


def _function(row: InstructionFormat) -> str:
    name = row.name.lower()
    fields = limited(row.name)
    cases = "".join(_case(row, number, field) for number, field in enumerate(fields))
    on_machine = any(name in MACHINE for field in fields for name in limit_names(field))
    beside_others = any(field.where or set(limit_names(field)) - MACHINE for field in fields)
    unused = ("" if on_machine else "  (void)arch;\n") + ("" if beside_others else "  (void)at;\n")
    return (
        f"static inline re2na_range re2na_{name}_range(const re2na_arch *arch, const re2na_{name} *at, unsigned number) {{\n"
        f'{unused}  switch (number) {{\n{cases}    default: return re2na_range_at("", 0, 0, 0);\n  }}\n}}\n\n'
    )


def _case(row: InstructionFormat, number: int, field: Field) -> str:
    offset = f"offsetof(re2na_instruction, body.{row.name.lower()}.{row.places[field.name]})"
    at = f're2na_range_at("{field.name}", {offset}'
    held = f"{at}, {field.lowest if field.least is None else field.least}, {_c_limit(row, field)})"
    if field.where is not None:
        held = f"at->{row.places[field.where]} ? {held} : {at}, {field.lowest}, {field.highest})"
    return f"    case {number}: return {held};\n"


def _c_limit(row: InstructionFormat, field: Field) -> str:
    """Of type int64_t. What saturates in unsigned arithmetic is brought to what the bits hold; signed fields have names only."""
    if not isinstance(field.limit, str):
        return f"INT64_C({field.highest if field.limit is None else field.limit})"
    places = {name: f"arch->{name}" if name in MACHINE else f"at->{row.places[name]}" for name in limit_names(field)}
    if field.signed:
        return places[field.limit]
    return f"(int64_t)re2na_min({c_of(field.limit, places)}, UINT64_C({field.highest}))"
