"""The processor that code is built for which stays in this process."""

from __future__ import annotations

from tvm.target import Target

from tvm_re2na import processor
from tvm_re2na.kernels.instructions import LEVEL


def host_target() -> Target:
    """This processor, with the instruction set that `processor` names. Raises ProcessorError."""
    return target_of(processor.instruction_set())


def target_of(name: str) -> Target:
    """The target of an instruction set of `processor`; "portable" is plain `llvm`."""
    mcpu = processor.MCPU[name]
    return Target({"kind": "llvm", "mcpu": mcpu, "opt-level": LEVEL}) if mcpu else Target("llvm")
