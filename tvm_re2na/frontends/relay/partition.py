"""Cuts a quantised module into functions for Re²Na and the rest for the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tvm
from tvm import relay

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.names import UniqueNames
from tvm_re2na.codegen.offload.operator import LINEAR, Operator
from tvm_re2na.frontends.common.description import elements
from tvm_re2na.frontends.common.errors import check_module
from tvm_re2na.frontends.common.feeds import origin_of
from tvm_re2na.frontends.common.found import Found, Partitioned, Rejections, judge
from tvm_re2na.frontends.common.marks import ARCH_ATTR, COMPILER, NAME_ATTR, in_order, kind_of, machine_of, machine_text
from tvm_re2na.frontends.common.regions import OffloadedRegion, settle
from tvm_re2na.frontends.relay.describe import describe, parts_of, sizes_of
from tvm_re2na.frontends.relay.integers import to_integers
from tvm_re2na.frontends.relay.joining import with_joined_regions
from tvm_re2na.frontends.relay.names import span_name
from tvm_re2na.frontends.relay.patterns import form_table
from tvm_re2na.frontends.relay.scales import check_scales
from tvm_re2na.frontends.relay.walk import all_of

IMPORTER = "mod, params = relay.frontend.from_onnx(model, freeze_params=True)"
Params = Mapping[str, Any]


def partition_for_re2na(
    mod: tvm.IRModule,
    params: Params | None = None,
    *,
    arch: Architecture | None = None,
    mod_name: str = "default",
    **_: Any,
) -> tvm.IRModule:
    """Move every operator that Re²Na can execute bit-exactly into functions for it.

    `mod` is a quantised module: QDQ or QLinear operators as `relay.frontend.from_onnx` imports them, or QNN operators. What
    cannot be offloaded stays as it is; `explain` says why. A module that is partitioned already is returned unchanged.
    """
    return partition(mod, params, arch or Architecture(), mod_name).module


def partition(mod: tvm.IRModule, params: Params | None, arch: Architecture, mod_name: str = "default") -> Partitioned:
    """`partition_for_re2na` with what was found on the way."""
    check_module(mod, tvm.IRModule, IMPORTER)
    if is_partitioned(mod):
        return Partitioned(mod)
    found = find(mod, params)
    return partition_found(found, judge(found, arch), arch, mod_name)


def is_partitioned(mod: tvm.IRModule) -> bool:
    """Whether the module holds functions for Re²Na."""
    return any(True for _ in offloaded_functions(mod))


def offloaded_functions(mod: tvm.IRModule) -> Iterator[tuple[str, relay.Function]]:
    """(symbol, function) of everything Re²Na executes, in the order of the symbols."""
    for var in in_order(mod.get_global_vars()):
        function = mod[var]
        if isinstance(function, relay.Function) and function.attrs and function.attrs.get("Compiler") == COMPILER:
            yield str(var.name_hint), function


def composites(expr: relay.Expr) -> Iterator[relay.Call]:
    """Calls of our composite functions in execution order."""
    found: list[relay.Call] = []
    relay.analysis.post_order_visit(expr, lambda node: found.append(node) if composite_kind(node) else None)
    return iter(found)


def composite_kind(expr: relay.Expr) -> str:
    """`conv2d` for a call of a "re2na.conv2d" composite function, otherwise an empty string."""
    if not (isinstance(expr, relay.Call) and isinstance(expr.op, relay.Function) and expr.op.attrs):
        return ""
    return kind_of(str(expr.op.attrs.get("Composite") or ""))


def composite_name(call: relay.Call) -> str:
    return str(call.op.attrs.get(NAME_ATTR) or "")


def operator_of(call: relay.Call) -> Operator:
    """What the rules and the compiler want to know of the call of a composite function."""
    return describe(composite_kind(call), call.op.body, dict(zip(call.op.params, call.args, strict=True)))


def prepare(mod: tvm.IRModule, params: Params | None = None) -> tvm.IRModule:
    """Bind parameters, fold constants, turn QDQ forms into integer operators."""
    mod = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions)
    if params:
        mod["main"] = relay.build_module.bind_params_by_name(mod["main"], dict(params))
    passes = relay.transform
    typed = [passes.InferType(), passes.SimplifyInference(), passes.FoldConstant(), passes.InferType()]
    mod = to_integers(tvm.transform.Sequential(typed)(mod))
    check_scales(mod)  # of operators that were integers from the beginning
    return mod


def find(mod: tvm.IRModule, params: Params | None) -> Found:
    """The operators, named and described: the part of partitioning that depends on no machine."""
    mod = prepare(mod, params)
    ops = {str(name) for name in relay.analysis.list_op_freqs(mod)}
    mod = relay.transform.MergeComposite(form_table(ops))(mod)
    mod["main"] = _Naming().visit(mod["main"])
    mod = relay.transform.InferType()(mod)
    calls = list(composites(mod["main"]))
    ends = {composite_name(call): span_name(call.op.body) for call in calls}
    return Found(
        mod,
        {composite_name(call): operator_of(call) for call in calls},
        {name: end for name, end in ends.items() if end is not None and end != name},
    )


def partition_found(found: Found, rejections: Rejections, arch: Architecture, mod_name: str = "default") -> Partitioned:
    """Everything that is not rejected and worth it becomes functions for Re²Na; other operators are put back as they were."""
    mod, kept = settle(found.operators, rejections, lambda rejected: _cut(found, rejected, mod_name))
    for symbol, function in list(offloaded_functions(mod)):
        mod[symbol] = function.with_attr(ARCH_ATTR, machine_text(arch))
    return Partitioned(relay.transform.InferType()(mod), found.operators, kept)


def _cut(found: Found, rejections: Rejections, mod_name: str) -> tuple[tvm.IRModule, list[OffloadedRegion]]:
    passes = relay.transform
    mod = tvm.IRModule(dict(found.module.functions.items()), found.module.type_definitions)
    if rejections:
        mod["main"] = _Inline(set(rejections)).visit(mod["main"])
    mod = tvm.transform.Sequential(
        [
            passes.InferType(),
            passes.AnnotateTarget(COMPILER, False),
            passes.MergeCompilerRegions(),
            passes.PartitionGraph(mod_name),
            passes.InferType(),
        ]
    )(mod)
    mod = passes.InferType()(with_joined_regions(mod, dict(offloaded_functions(mod)), mod_name))
    return mod, [_region(function) for _, function in offloaded_functions(mod)]


def _region(function: relay.Function) -> OffloadedRegion:
    return OffloadedRegion(tuple(map(composite_name, composites(function.body))), border_bytes(function))


def inline_composites(expr: relay.Expr) -> relay.Expr:
    """`expr` with composite functions replaced by their bodies: plain Relay for the CPU."""
    return _Inline(None).visit(expr)


def architecture_of(function: relay.Function) -> Architecture:
    """The machine that `partition_for_re2na` cut this function for."""
    return machine_of(str(function.attrs.get(ARCH_ATTR) or "") if function.attrs else "")


def border_bytes(function: relay.Function) -> int:
    """Elements of the parameters and results of a typed function: bytes, of a function for Re²Na."""
    kind = function.checked_type
    return sum(map(_elements, (*kind.arg_types, kind.ret_type)))


def _elements(kind: tvm.ir.Type) -> int:
    if isinstance(kind, tvm.ir.TupleType):
        return sum(map(_elements, kind.fields))
    return elements(sizes_of(kind))


def feeds_of(mod: tvm.IRModule) -> dict[str, tuple[int | None, ...]]:
    """For each parameter of each offloaded function, by its symbol, the number of main's parameter that it is made of; None of what
    is computed."""
    main = mod["main"]
    calls = {
        str(call.op.name_hint): call
        for call in all_of(main.body)
        if isinstance(getattr(call, "op", None), relay.GlobalVar)
    }
    symbols = [symbol for symbol, _ in offloaded_functions(mod)]
    return {
        symbol: tuple(origin_of(arg, list(main.params), _operand) for arg in calls[symbol].args) for symbol in symbols
    }


def _operand(expr: relay.Expr) -> relay.Expr | None:
    return expr.args[0] if isinstance(expr, relay.Call) and expr.args else None


class _Naming(relay.ExprMutator):  # type: ignore[misc]
    """Gives each composite function the name of its source operator, made unique; `conv2d_0` where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._unique = UniqueNames()

    def visit_call(self, call: relay.Call) -> relay.Expr:
        kind = composite_kind(call)
        if not kind:
            return super().visit_call(call)
        args = [self.visit(arg) for arg in call.args]
        name = self._unique.take(kind, next(filter(None, map(span_name, _witnesses(kind, call.op.body))), None))
        return relay.Call(call.op.with_attr(NAME_ATTR, name), args, call.attrs, call.type_args, call.span)


def _witnesses(kind: str, body: relay.Expr) -> list[relay.Call]:
    """The calls of a composite's body, whose spans can tell its name; the most telling first."""
    if kind in LINEAR:
        parts = parts_of(body)
        found = (parts.main, parts.bias, parts.requantize, *parts.before, *parts.after)
        return [call for call in found if call is not None]
    calls = [body]
    while isinstance(calls[-1].args[0], relay.Call):
        calls.append(calls[-1].args[0])
    return calls[::-1]


class _Inline(relay.ExprMutator):  # type: ignore[misc]
    """Replaces calls of composite functions of the given names (None: all) by their bodies."""

    def __init__(self, names: set[str] | None) -> None:
        super().__init__()
        self._names = names

    def visit_call(self, call: relay.Call) -> relay.Expr:
        if composite_kind(call) and (self._names is None or composite_name(call) in self._names):
            args = [self.visit(arg) for arg in call.args]
            return relay.bind(call.op.body, dict(zip(call.op.params, args, strict=True)))
        return super().visit_call(call)
