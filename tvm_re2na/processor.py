"""Which instruction set of this processor TVM's code for the CPU uses: the best it has, or the one that RE2NA_CPU names.

The names are those of the simulator's kernels, which the C library finds by asking the processor and its operating system.
"""

from __future__ import annotations

import os

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.runtime import library

VARIABLE = "RE2NA_CPU"
PORTABLE = "portable"
MCPU = {
    PORTABLE: "",
    "neon": "",
    "avx2": "x86-64-v3",
    "avx512": "x86-64-v4",
}  # LLVM's names; "" is its default for the machine


class ProcessorError(Re2naError, ValueError):
    """RE2NA_CPU names no instruction set of this processor."""


def instruction_sets() -> tuple[str, ...]:
    """What this processor has, the best last; "portable" is what every processor of its family has."""
    return tuple(name for name in library.kernels() if name in MCPU)


def instruction_set() -> str:
    """The one in use. Raises ProcessorError where RE2NA_CPU names none of this processor's."""
    known = instruction_sets()
    wanted = os.environ.get(VARIABLE) or known[-1]
    if wanted not in known:
        raise ProcessorError(f"{VARIABLE} = '{wanted}': this processor has {', '.join(known)}")
    return wanted
