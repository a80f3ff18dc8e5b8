"""What instructions mean: what they do, the bytes they touch, what they count. One file for each kind."""

from __future__ import annotations

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.table import BY_NAME
from tvm_re2na.runtime.instructions.access import Access
from tvm_re2na.runtime.instructions.base import ArrayMapping, Meaning, Operands
from tvm_re2na.runtime.instructions.control import HaltMeaning, ReconfigureMeaning
from tvm_re2na.runtime.instructions.conv import ConvMeaning
from tvm_re2na.runtime.instructions.dense import DenseMeaning
from tvm_re2na.runtime.instructions.eltwise import EltwiseMeaning
from tvm_re2na.runtime.instructions.pool import PoolMeaning
from tvm_re2na.runtime.instructions.transfer import LoadMeaning, StoreMeaning

MEANINGS: dict[str, Meaning] = {
    "HALT": HaltMeaning(),
    "RECONFIGURE": ReconfigureMeaning(),
    "LOAD": LoadMeaning(),
    "STORE": StoreMeaning(),
    "CONV": ConvMeaning(),
    "DENSE": DenseMeaning(),
    "POOL": PoolMeaning(),
    "ELTWISE": EltwiseMeaning(),
}
if MEANINGS.keys() != BY_NAME.keys():
    raise TypeError(f"instructions without a meaning, or the other way round: {MEANINGS.keys() ^ BY_NAME.keys()}")

__all__ = ["MEANINGS", "Access", "ArrayMapping", "Meaning", "Operands", "accesses", "meaning"]


def meaning(at: Instruction) -> Meaning:
    """Of an instruction."""
    return MEANINGS[at.name]


def accesses(at: Instruction) -> tuple[Access, ...]:
    """Everything that an instruction touches."""
    found = meaning(at).accesses(at)
    return tuple(access for access in found if access.run and all(axis.size for axis in access.axes))
