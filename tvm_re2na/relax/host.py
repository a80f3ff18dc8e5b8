"""The processor that code is built for which stays in this process."""

from __future__ import annotations

import os
from pathlib import Path

from tvm.target import Target
from tvm.target import codegen as llvm

from tvm_re2na.relax.kernels.instructions import X86

VARIABLE = "RE2NA_CPU"  # an instruction set to hold the code to, for tests and benchmarks
PORTABLE = "portable"
CPUINFO = Path("/proc/cpuinfo")
# LLVM's first level builds in half the time of its third; the kernels are as fast, for their vectors are spelled out
LEVEL = 1
PROCESSORS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}  # the plainest processor of each


def host_target() -> Target:
    """This machine's processor; the environment's RE2NA_CPU names one of `available` instead. ValueError of any other."""
    wanted, names = os.environ.get(VARIABLE), available()
    if wanted and wanted not in names:
        raise ValueError(f"{VARIABLE} is '{wanted}'; this machine has {', '.join(names)}")
    own = _target(llvm.llvm_get_system_cpu())
    return own if not wanted and _runs(_vectors(own)) else target_of(wanted or names[-1])


def target_of(name: str) -> Target:
    """The target of one of `available`; "portable" is plain `llvm`."""
    return Target("llvm") if name == PORTABLE else _target(PROCESSORS[name])


def available() -> list[str]:
    """The instruction sets this machine can run, narrowest first; "portable" is code for any machine of its kind."""
    own = _vectors(_target(llvm.llvm_get_system_cpu()))
    return [PORTABLE, *(isa.name for isa in reversed(X86) if own.issuperset(isa.features) and _runs(set(isa.features)))]


def _target(processor: str) -> Target:
    return Target({"kind": "llvm", "mcpu": processor, "opt-level": LEVEL})


def _vectors(target: Target) -> set[str]:
    """LLVM's names of a processor's vector extensions."""
    return {name for name in map(str, llvm.llvm_get_cpu_features(target)) if name.startswith(("avx", "fma", "gfni"))}


def _runs(features: set[str]) -> bool:
    """Whether the operating system lists them: LLVM goes by the model, but a virtual machine may hide some."""
    if not CPUINFO.exists():
        return True
    words = CPUINFO.read_text().replace("_", "").split()
    return features.issubset(words)
