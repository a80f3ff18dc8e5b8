"""What today's TVM has to know of Re²Na: the target tag "re2na", its code generator and pipeline, and the module that a program is.

It is loaded with TVM (`tvm_re2na.autoload`), so it loads what partitions and compiles only when that is needed.
"""

from __future__ import annotations

import os
from typing import Any

import tvm
import tvm_ffi
from tvm import relax
from tvm.target.tag import register_tag

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.common.door import target_of
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.relax import in_build
from tvm_re2na.runtime.abi import load_module_library


@tvm_ffi.register_global_func("relax.ext.re2na", override=True)
def _codegen(functions: list[relax.Function], options: Any, constant_names: Any) -> list[Any]:
    from tvm_re2na.frontends.relax.backend import codegen

    del options, constant_names
    return [codegen(function) for function in functions]


in_build.register()
load_module_library()
register_tag(TAG, target_of(), override=True)


def target(arch: Architecture | str | os.PathLike[str] | None = None) -> tvm.target.Target:
    """TVM's target "re2na" for a machine, or for a TOML file that describes one; raises as `target_of`."""
    return tvm.target.Target(target_of(arch))
