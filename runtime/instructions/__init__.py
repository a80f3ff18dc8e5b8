"""What instructions mean: what they do, the bytes they touch, what they count. One file for each kind."""

from __future__ import annotations

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.table import BY_NAME
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.base import Mapping, Meaning, Operands
from tvm_re2na.runtime.instructions.control import Halt, Reconfigure
from tvm_re2na.runtime.instructions.conv import Conv
from tvm_re2na.runtime.instructions.dense import Dense
from tvm_re2na.runtime.instructions.eltwise import Eltwise
from tvm_re2na.runtime.instructions.pool import Pool
from tvm_re2na.runtime.instructions.transfer import Load, Store

MEANINGS: dict[str, Meaning] = {
    kind.__name__.upper(): kind() for kind in (Halt, Reconfigure, Load, Store, Conv, Dense, Pool, Eltwise)
}
if MEANINGS.keys() != BY_NAME.keys():
    raise TypeError(f"instructions without a meaning, or the other way round: {MEANINGS.keys() ^ BY_NAME.keys()}")

__all__ = ["MEANINGS", "Access", "Mapping", "Meaning", "Operands", "accesses", "meaning"]


def meaning(at: Instruction) -> Meaning:
    """Of an instruction."""
    return MEANINGS[at.name]


def accesses(at: Instruction) -> tuple[Access, ...]:
    """Everything that an instruction touches."""
    found = meaning(at).accesses(at)
    return tuple(access for access in found if access.run and all(axis.size for axis in access.axes))
