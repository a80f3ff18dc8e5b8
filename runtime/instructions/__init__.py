"""What instructions mean: what they do, the bytes they touch, what they count. One file for each kind."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.table import BY_NAME
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.base import ArrayMapping, Meaning, Operands

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
if Meaning.known.keys() != BY_NAME.keys():
    raise TypeError(f"instructions without a meaning, or the other way round: {Meaning.known.keys() ^ BY_NAME.keys()}")
MEANINGS: dict[str, Meaning] = {name: Meaning.known[name]() for name in BY_NAME}

__all__ = ["MEANINGS", "Access", "ArrayMapping", "Meaning", "Operands", "accesses", "meaning"]


def meaning(at: Instruction) -> Meaning:
    """Of an instruction."""
    return MEANINGS[at.name]


def accesses(at: Instruction) -> tuple[Access, ...]:
    """Everything that an instruction touches."""
    found = meaning(at).accesses(at)
    return tuple(access for access in found if access.run and all(axis.size for axis in access.axes))
