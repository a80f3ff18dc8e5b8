"""The processor that code is built for which stays in this process."""

from __future__ import annotations

import os

from tvm.target import Target
from tvm.target import codegen as llvm

from tvm_re2na.relax.kernels.instructions import X86

VARIABLE = "RE2NA_CPU"  # an instruction set to hold the code to, for tests and benchmarks
PORTABLE = "portable"
PROCESSORS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}  # the plainest processor of each


def host_target() -> Target:
    """This machine's processor; the environment's RE2NA_CPU names one of `available` instead. ValueError of any other."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return Target({"kind": "llvm", "mcpu": llvm.llvm_get_system_cpu()})
    names = available()
    if wanted not in names:
        raise ValueError(f"{VARIABLE} is '{wanted}'; this machine has {', '.join(names)}")
    return Target({"kind": "llvm", "mcpu": PROCESSORS[wanted]} if wanted != PORTABLE else "llvm")


def available() -> list[str]:
    """The instruction sets this machine can run, narrowest first; "portable" is code for any machine of its kind."""
    has = set(llvm.llvm_get_cpu_features(Target({"kind": "llvm", "mcpu": llvm.llvm_get_system_cpu()})))
    return [PORTABLE, *(isa.name for isa in reversed(X86) if has.issuperset(isa.features))]
