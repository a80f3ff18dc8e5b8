"""TVM's command line, `tvmc`, with Re²Na: `tvmc compile --target "re2na, llvm" MODEL.onnx`.

tvmc has no entry points for plugins, but a table of them, which `tvm_re2na.autoload` has us fill as soon as the table is there.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm.driver.tvmc.composite_target import REGISTERED_CODEGEN

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.frontends.common.door import machine_of_fields, machine_of_target, warn
from tvm_re2na.frontends.common.marks import COMPILER
from tvm_re2na.model_error import ModelError

ARCH = "arch"  # the option that names a TOML file


def _partition(mod: tvm.IRModule, params: Any = None, *, mod_name: str = "default", **options: str) -> tvm.IRModule:
    """`partition_for_re2na` for the machine of tvmc's options: `re2na -arch=machine.toml, llvm` or `re2na -mac_interval=1, llvm`.

    What is wrong is an error of tvmc's, which prints it in one line.
    """
    from tvm.driver.tvmc import TVMCException

    try:
        _check_shapes(mod)
        toml = options.pop(ARCH, None)
        arch = machine_of_fields(options) if toml is None else machine_of_target({"model": toml})
        return _partitioned(mod, params, arch, mod_name)
    except (Re2naError, OSError) as error:
        raise TVMCException(str(error)) from error


def _partitioned(mod: tvm.IRModule, params: Any, arch: Architecture, mod_name: str) -> tvm.IRModule:
    from tvm_re2na.frontends.relay.in_build import why_nothing
    from tvm_re2na.frontends.relay.partition import is_partitioned, partition

    partitioned = partition(mod, params, arch, mod_name)
    if not is_partitioned(partitioned.module):
        warn(why_nothing(mod, partitioned) or "the module has no operator that could")
    return partitioned.module


def _check_shapes(mod: tvm.IRModule) -> None:
    for parameter in mod["main"].params:
        kind = parameter.type_annotation
        if isinstance(kind, tvm.ir.TensorType) and any(isinstance(size, tvm.tir.Any) for size in kind.shape):
            sizes = ["?" if isinstance(size, tvm.tir.Any) else str(int(size)) for size in kind.shape]
            name, known = str(parameter.name_hint), ",".join("1" if size == "?" else size for size in sizes)
            raise ModelError(
                f"the shape of input '{name}' is open: {'x'.join(sizes)}; say which, as in --input-shapes \"{name}:[{known}]\""
            )


def main() -> int:
    """Run tvmc with the command line's arguments; returns its exit code."""
    from tvm.driver.tvmc.main import main as tvmc

    return int(tvmc() or 0)


REGISTERED_CODEGEN[COMPILER] = {
    "config_key": None,
    "pass_default": False,
    "default_target": None,
    "pass_pipeline": _partition,
}
