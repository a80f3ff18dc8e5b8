"""Cuts a quantised module into functions for Re²Na and the rest for the CPU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from tvm_re2na.codegen import constraints
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constraints import Operator, Rejection
from tvm_re2na.relax.describe import describe
from tvm_re2na.relax.integers import integer_function
from tvm_re2na.relax.normal import normalise
from tvm_re2na.relax.patterns import PREFIX, fusion_patterns, kind_of
from tvm_re2na.relax.walk import bindings_of, result_of, value_of

COMPILER = "re2na"
ARCH_ATTR = "re2na_arch"
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A module whose operators are composite functions, and what the rules want to know of each."""

    module: tvm.IRModule
    operators: dict[str, Operator]


def partition_for_re2na(
    mod: tvm.IRModule, params: Params | None = None, *, arch: Architecture | None = None
) -> tvm.IRModule:
    """Move every operator that Re²Na can execute bit-exactly into functions for it.

    `mod` is a quantised module: QDQ operators as `relax.frontend.onnx` imports them. Quantised operators that cannot be offloaded
    become integer functions for the CPU; the rest stays as it is. A module that is partitioned already is returned unchanged.
    """
    if any(True for _ in offloaded_functions(mod)):
        return mod
    arch = arch or Architecture()
    found = find(mod, params)
    mod = on_cpu(found, set(judge(found, arch)))
    mod = relax.transform.MergeCompositeFunctions()(mod)
    arch_text = json.dumps({field.name: int(getattr(arch, field.name)) for field in dataclasses.fields(arch)})
    for variable, function in list(offloaded_functions(mod)):
        mod.update_func(variable, function.with_attr(ARCH_ATTR, arch_text))
    return mod


def offloaded_functions(mod: tvm.IRModule) -> Iterator[tuple[Any, relax.Function]]:
    """(variable, function) of everything Re²Na executes, in the order of the symbols."""
    for variable in sorted(mod.get_global_vars(), key=lambda var: (len(var.name_hint), str(var.name_hint))):
        function = mod[variable]
        if isinstance(function, relax.Function) and function.attrs and function.attrs.get("Codegen") == COMPILER:
            yield variable, function


def architecture_of(function: relax.Function) -> Architecture:
    """The machine that `partition_for_re2na` cut this function for."""
    text = function.attrs.get(ARCH_ATTR) if function.attrs else None
    return Architecture.from_dict(json.loads(str(text))) if text else Architecture()


def find(mod: tvm.IRModule, params: Params | None = None) -> Found:
    """The part of partitioning that depends on no machine."""
    mod = normalise(mod, params)
    mod = relax.transform.FuseOpsByPattern(fusion_patterns(None), bind_constants=True)(mod)
    return Found(mod, {str(var.name_hint): operator_of(function) for var, function in composites(mod)})


def judge(found: Found, arch: Architecture) -> dict[str, Rejection]:
    """What a machine does not take of the operators that were found, and why."""
    checked = {name: constraints.check(operator, arch) for name, operator in found.operators.items()}
    return {name: rejection for name, rejection in checked.items() if rejection is not None}


def composites(mod: tvm.IRModule) -> Iterator[tuple[Any, relax.Function]]:
    for variable, function in mod.functions.items():
        composite = str(function.attrs.get("Composite") or "") if function.attrs else ""
        if composite.startswith(PREFIX):
            yield variable, function


def operator_of(composite: relax.Function) -> Operator:
    values = dict(bindings_of(composite))
    return describe(kind_of(str(composite.attrs["Composite"])), value_of(result_of(composite), values), values)


def on_cpu(found: Found, names: set[str]) -> tvm.IRModule:
    """The module with the composites of these names as integer functions for the CPU."""
    mod = found.module.clone()
    for variable, function in composites(found.module):
        if str(variable.name_hint) in names:
            mod.update_func(variable, integer_function(function, found.operators[str(variable.name_hint)]))
    return mod
