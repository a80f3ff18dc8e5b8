"""What TVM 0.19 has to know of Re²Na: the target tag "re2na", its code generator, what it leaves on the CPU, and the runtime.

It is loaded with TVM (`tvm_re2na.autoload`), so it loads what partitions and compiles only when that is needed.
"""

from __future__ import annotations

import os

import tvm
from tvm import relay

import tvm_re2na.frontends.relay.exact  # noqa: F401  registers with TVM
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.common.door import target_of
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.runtime.abi import load_library_global


@tvm.register_func("relay.ext.re2na", override=True)
def _codegen(function: relay.Function) -> tvm.runtime.Module:
    from tvm_re2na.frontends.relay.backend import codegen

    return codegen(function)


load_library_global()  # for libraries that TVM's own `export_library` wrote
tvm.target.tag.register_tag(TAG, target_of(), override=True)


def target(arch: Architecture | str | os.PathLike[str] | None = None) -> tvm.target.Target:
    """TVM's target "re2na" for a machine, or for a TOML file that describes one; raises as `target_of`."""
    return tvm.target.Target(target_of(arch))
