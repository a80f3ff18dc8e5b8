"""Cuts a quantised module into functions for Re²Na and the rest for the CPU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import tvm
from tvm import relax

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.constraint import Rejection
from tvm_re2na.codegen.offload.explanation import Explanation, kept
from tvm_re2na.codegen.offload.names import UniqueNames
from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.frontends.common.description import elements
from tvm_re2na.frontends.common.errors import check_module
from tvm_re2na.frontends.common.feeds import origin_of
from tvm_re2na.frontends.common.found import Found, Partitioned, Rejections, judge
from tvm_re2na.frontends.common.marks import ARCH_ATTR, COMPILER, NAME_ATTR, in_order, kind_of, machine_of, machine_text
from tvm_re2na.frontends.common.regions import OffloadedRegion, settle
from tvm_re2na.frontends.relax.describe import describe
from tvm_re2na.frontends.relax.integers import integer_function
from tvm_re2na.frontends.relax.joining import with_joined_regions
from tvm_re2na.frontends.relax.kernels import Kernels
from tvm_re2na.frontends.relax.names import source_name
from tvm_re2na.frontends.relax.normal import normalise
from tvm_re2na.frontends.relax.patterns import SOURCE_ATTR, fusion_patterns, operands_of_concats
from tvm_re2na.frontends.relax.walk import attribute, bindings_of, called, op_name, result_of, sizes_of, value_of
from tvm_re2na.kernels.instructions import instructions_of

KEPT_ATTR = "re2na_kept"  # on an integer function for the CPU: the explanation, as JSON
IMPORTER = "mod = relax.frontend.onnx.from_onnx(model, keep_params_in_input=False)"
Params = Mapping[str, Any]
Stays: TypeAlias = Mapping[str, Rejection | None]  # what stays on the CPU by its name, and the rule that keeps it there


def partition_for_re2na(
    mod: tvm.IRModule,
    params: Params | None = None,
    *,
    arch: Architecture | None = None,
    mod_name: str = "default",
    target: tvm.target.Target | None = None,
) -> tvm.IRModule:
    """Move every operator that Re²Na can execute bit-exactly into functions for it; `relax.transform.RunCodegen` compiles them.

    `mod` is a quantised module: QDQ operators as `relax.frontend.onnx` or `relax.frontend.torch` import them. Quantised operators
    that cannot be offloaded become integer functions for the CPU, with the same arithmetic; `explain` says why. The rest stays as
    it is, and so does a module that is partitioned already. If `target` names a processor ("mcpu"), integer functions use its
    vector instructions, and the module must be compiled for that target; otherwise they suit any.
    """
    return partition(mod, params, arch or Architecture(), mod_name, target).module


def partition(
    mod: tvm.IRModule,
    params: Params | None,
    arch: Architecture,
    mod_name: str = "default",
    target: tvm.target.Target | None = None,
) -> Partitioned:
    """`partition_for_re2na` with what was found on the way."""
    check_module(mod, tvm.IRModule, IMPORTER)
    if is_partitioned(mod):
        return Partitioned(mod)
    found = find(mod, params)
    return partition_found(found, judge(found, arch), arch, mod_name, target)


def is_partitioned(mod: tvm.IRModule) -> bool:
    """Whether the module holds functions for Re²Na."""
    return any(True for _ in offloaded_functions(mod))


def offloaded_functions(mod: tvm.IRModule) -> Iterator[tuple[str, relax.Function]]:
    """(symbol, function) of everything Re²Na executes, in the order of the symbols."""
    for variable in in_order(mod.get_global_vars()):
        if attribute(mod[variable], "Codegen") == COMPILER:
            yield str(variable.name_hint), mod[variable]


def architecture_of(function: relax.Function) -> Architecture:
    """The machine that `partition_for_re2na` cut this function for."""
    return machine_of(attribute(function, ARCH_ATTR))


def find(mod: tvm.IRModule, params: Params | None = None) -> Found:
    """The part of partitioning that depends on no machine."""
    mod = normalise(mod, params)
    patterns = fusion_patterns(operands_of_concats(mod["main"]))
    mod = relax.transform.FuseOpsByPattern(patterns, bind_constants=True)(mod)
    operators: dict[str, Operator] = {}
    ends: dict[str, str] = {}
    functions: dict[Any, Any] = {var: f for var, f in mod.functions.items() if not composite_kind(f)}
    names = UniqueNames()

    def own(variable: Any) -> Any:
        """A function of its own for each call: equal ones share theirs at first."""
        kind = composite_kind(mod[variable])
        if not kind:
            return variable
        name = names.take(kind, attribute(mod[variable], SOURCE_ATTR) or None)
        operators[name] = operator_of(mod[variable])
        end = _end(mod[variable])
        if end not in (name, None):
            ends[name] = end
        new = _global_variable(f"{COMPILER}_{len(operators)}", mod[variable])
        functions[new] = mod[variable].with_attr(NAME_ATTR, name)
        return new

    functions[mod.get_global_var("main")] = _Recaller(mod, own).visit_expr(mod["main"])
    return Found(tvm.IRModule(functions, attrs=mod.attrs), operators, ends)


def _end(function: relax.Function) -> str | None:
    """The name of the last operator of a composite function. Where it has none: None of one between two tensors of integers alone,
    empty of any other."""
    values = [value for _, value in bindings_of(function)]
    own = [value for value in values if op_name(value) not in ("quantize", "dequantize")]
    name = source_name(own[-1]) if own else None
    return name or (None if [op_name(value) for value in values].count("quantize") < 2 else "")


def partition_found(
    found: Found,
    rejections: Rejections,
    arch: Architecture,
    mod_name: str = "default",
    target: tvm.target.Target | None = None,
) -> Partitioned:
    """Everything that is not rejected and worth it becomes functions for Re²Na, all else integer functions for the CPU."""
    mod, kept = settle(found.operators, rejections, lambda rejected: _cut(found, rejected, target))
    return Partitioned(_named(mod, arch, mod_name), found.operators, kept)


def for_cpu(found: Found, target: tvm.target.Target | None = None) -> tvm.IRModule:
    """Every operator as an integer function for the CPU; `target` as of `partition_for_re2na`."""
    return _on_cpu(found, dict.fromkeys(found.operators), target)


def composite_kind(function: Any) -> str:
    """`conv2d` of a function made by the pattern "re2na.conv2d", otherwise an empty string."""
    return kind_of(attribute(function, "Composite"))


def composites(function: relax.Function) -> Iterator[tuple[Any, Any, relax.Function]]:
    """(variable, call, composite function) of everything an offloaded function calls, in execution order."""
    local = {variable: value for variable, value in bindings_of(function) if isinstance(value, relax.Function)}
    for variable, value in bindings_of(function):
        if isinstance(value, tvm.ir.Call) and value.op in local:
            yield variable, value, local[value.op]


def operator_of(composite: relax.Function) -> Operator:
    """What the rules and the compiler want to know of a composite function."""
    values = dict(bindings_of(composite))
    return describe(composite_kind(composite), value_of(result_of(composite), values), values, list(composite.params))


def explanation_of(function: Any) -> Explanation | None:
    """Why a function that `partition_for_re2na` left on the CPU is there; None of any other."""
    text = attribute(function, KEPT_ATTR)
    return Explanation(**json.loads(text)) if text else None


def _cut(
    found: Found, rejections: Rejections, target: tvm.target.Target | None
) -> tuple[tvm.IRModule, list[OffloadedRegion]]:
    mod = _on_cpu(found, rejections, target)
    kept_on_cpu = [variable for variable, function in mod.functions.items() if explanation_of(function)]
    for variable in kept_on_cpu:  # what is no composite must be "Primitive", or the pass would look for its groups
        mod.update_func(variable, mod[variable].with_attr("Primitive", True))
    mod = relax.transform.MergeCompositeFunctions()(mod)
    for variable in kept_on_cpu:
        mod.update_func(variable, mod[variable].without_attr("Primitive"))
    mod = with_joined_regions(mod, _in_order(mod))
    return mod, [_region(function) for _, function in offloaded_functions(mod)]


def _region(function: relax.Function) -> OffloadedRegion:
    return OffloadedRegion(
        tuple(attribute(part, NAME_ATTR) for _, _, part in composites(function)), border_bytes(function)
    )


def _named(mod: tvm.IRModule, arch: Architecture, mod_name: str) -> tvm.IRModule:
    """The offloaded functions under the names that Relay gives them, with the machine they are for."""
    names = {symbol: f"tvmgen_{mod_name}_re2na_main_{index}" for index, symbol in enumerate(_in_order(mod))}
    variables = {symbol: _global_variable(name, mod[symbol]) for symbol, name in names.items()}
    functions: dict[Any, Any] = {var: f for var, f in mod.functions.items() if str(var.name_hint) not in names}
    for symbol, variable in variables.items():
        function = mod[symbol].with_attr("global_symbol", names[symbol]).with_attr(ARCH_ATTR, machine_text(arch))
        functions[variable] = function
    recaller = _Recaller(mod, lambda variable: variables.get(str(variable.name_hint), variable))
    functions[mod.get_global_var("main")] = recaller.visit_expr(mod["main"])
    return tvm.IRModule(functions, attrs=mod.attrs)


def _in_order(mod: tvm.IRModule) -> list[str]:
    """The symbols of the offloaded functions as `main` calls them."""
    known = {symbol for symbol, _ in offloaded_functions(mod)}
    symbols = [
        str(variable.name_hint) for _, call in bindings_of(mod["main"]) if (variable := called(call)) is not None
    ]
    return [symbol for symbol in dict.fromkeys(symbols) if symbol in known]


def _on_cpu(found: Found, rejections: Stays, target: tvm.target.Target | None) -> tvm.IRModule:
    """The module with the named composites as integer functions for the CPU."""
    mod = found.module.clone()
    isa = instructions_of(target) if target is not None else None
    kernels = Kernels(isa) if isa is not None else None
    for variable, function in found.module.functions.items():
        name = attribute(function, NAME_ATTR)
        if name in rejections:
            operator = found.operators[name]
            why = json.dumps(dataclasses.asdict(kept(name, operator.kind, rejections[name])))
            mod.update_func(variable, integer_function(function, operator, kernels).with_attr(KEPT_ATTR, why))
    for variable, function in (kernels.functions if kernels is not None else {}).items():
        mod.update_func(variable, function)
    return mod


def border_bytes(function: relax.Function) -> int:
    """As of the front end for Relay."""
    results = result_of(function).ty
    given = [parameter.ty for parameter in function.params]
    return sum(map(elements, map(sizes_of, (*given, *getattr(results, "fields", (results,))))))


def feeds_of(mod: tvm.IRModule) -> dict[str, tuple[int | None, ...]]:
    """As of the front end for Relay."""
    main = mod["main"]
    values = dict(bindings_of(main))

    def operand(expr: Any) -> Any:
        value = value_of(expr, values)
        if isinstance(value, tvm.ir.Call) and value.args:
            return value.args[0]
        return None if value is expr else value

    calls = {str(variable.name_hint): value for value in values.values() if (variable := called(value)) is not None}
    symbols = [symbol for symbol, _ in offloaded_functions(mod)]
    return {
        symbol: tuple(origin_of(arg, list(main.params), operand) for arg in calls[symbol].args) for symbol in symbols
    }


def _global_variable(name: str, function: relax.Function) -> tvm.ir.GlobalVar:
    variable = tvm.ir.GlobalVar(name)
    relax.expr._update_type(variable, function.ty)
    return variable


@relax.expr_functor.mutator
class _Recaller(relax.PyExprMutator):  # type: ignore[misc]
    """Calls other global functions: `replace` tells for the variable of each call which."""

    def __init__(self, mod: tvm.IRModule, replace: Callable[[Any], Any]) -> None:
        super().__init__(mod)
        self._replace = replace

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        variable = called(call)
        if variable is None:
            return call
        return relax.Call(self._replace(variable), list(call.args), call.attrs, call.ty_args, call.span)
