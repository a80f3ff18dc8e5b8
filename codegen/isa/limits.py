"""What an instruction's fields may hold on a machine, beside each other: the table's `least`, `limit` and `where`.

The simulator's validator has the same from the generated header. An instruction may still break a relation that is no interval
(`table.py`), or reach outside a memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import CodeType

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa.encoding import Instruction
from tvm_re2na.codegen.isa.expressions import GLOBALS, MACHINE, names_of
from tvm_re2na.codegen.isa.table import BY_NAME, Field


@dataclass(frozen=True)
class Outside:
    """A field outside its limits."""

    field: str
    value: int
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.field} = {self.value} is outside {self.low}..{self.high}"


@cache
def limited(name: str) -> tuple[Field, ...]:
    """The instruction's fields that are limited, each behind those that its limit names: the order in which they are checked.

    Raises ValueError for limits that name each other in a circle.
    """
    left = [field for field in BY_NAME[name].body if field.is_limited]
    order: list[Field] = []
    while left:
        open_names = {field.name for field in left}
        free = next((field for field in left if open_names.isdisjoint(limit_names(field))), None)
        if free is None:
            raise ValueError(f"{name}: the limits of {', '.join(sorted(open_names))} name each other")
        order.append(free)
        left.remove(free)
    return tuple(order)


@cache
def limit_names(field: Field) -> tuple[str, ...]:
    """Fields of the instruction and of the machine that its limit names."""
    return names_of([field.limit]) if isinstance(field.limit, str) else ()


def limits_of(arch: Architecture, name: str, field: str, values: Mapping[str, int] | None = None) -> tuple[int, int]:
    """The smallest and the largest value of an instruction's field; `values`: what its limit names of the other fields.

    KeyError names one that is missing, or a field that the instruction does not have.
    """
    return _interval(arch, _fields(name)[field], values or {})


def find_outside(arch: Architecture, instruction: Instruction) -> Outside | None:
    """The first field that is outside its limits on `arch`, if there is one."""
    for field in limited(instruction.name):
        low, high = _interval(arch, field, instruction.values)
        value = instruction[field.name]
        if not low <= value <= high:
            return Outside(field.name, value, low, high)
    return None


def _interval(arch: Architecture, field: Field, values: Mapping[str, int]) -> tuple[int, int]:
    if field.where is not None and not values[field.where]:
        return field.lowest, field.highest
    low = field.lowest if field.least is None else field.least
    if isinstance(field.limit, str):
        known = {name: getattr(arch, name) if name in MACHINE else values[name] for name in limit_names(field)}
        return low, min(field.highest, eval(_code(field.limit), GLOBALS, known))
    return low, field.highest if field.limit is None else field.limit


@cache
def _fields(name: str) -> dict[str, Field]:
    return {field.name: field for field in BY_NAME[name].body}


@cache
def _code(expression: str) -> CodeType:
    return compile(expression, f"<limit {expression}>", "eval")
