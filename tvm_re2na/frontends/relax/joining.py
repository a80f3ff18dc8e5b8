"""Offloaded functions that do not depend on each other become one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

from tvm_re2na.frontends.common.regions import independent
from tvm_re2na.frontends.relax.walk import bindings_of, called, result_of

Bindings = Sequence[tuple[Any, Any]]


def with_joined_regions(mod: tvm.IRModule, symbols: Sequence[str]) -> tvm.IRModule:
    """`symbols`: of the offloaded functions, each called once, in that order. Joined ones have the symbol of the first."""
    main = mod["main"]
    if not all(isinstance(block, relax.DataflowBlock) for block in main.body.blocks):
        return mod  # something in it has to happen in its order
    bindings = list(bindings_of(main))
    calls = {
        str(called(value).name_hint): (variable, value) for variable, value in bindings if called(value) is not None
    }
    groups = independent(_reads(bindings, set(symbols)))
    if len(groups) == len(symbols):
        return mod
    joined = {
        symbol: group
        for names in groups
        if len(names) > 1
        for group in [_JoinedRelax([(*calls[name], mod[calls[name][1].op]) for name in names])]
        for symbol in names
    }
    functions = {var: f for var, f in mod.functions.items() if str(var.name_hint) not in joined}
    functions |= {group.callee: group.function for group in joined.values()}
    body = _body(list(_JoinedOrder(bindings, joined).all()), result_of(main))
    functions[mod.get_global_var("main")] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return tvm.IRModule(functions, attrs=mod.attrs)


def _reads(bindings: Bindings, symbols: set[str]) -> dict[str, set[str]]:
    """For each offloaded function, all others that its arguments are made of; in execution order."""
    made_of: dict[Any, set[str]] = {}
    found: dict[str, set[str]] = {}
    for variable, value in bindings:
        above = set[str]().union(*(made_of.get(operand, set()) for operand in variables_of(value)))
        callee = called(value)
        if callee is not None and str(callee.name_hint) in symbols:
            found[str(callee.name_hint)] = set(above)
            above = above | {str(callee.name_hint)}
        made_of[variable] = above
    return found


def variables_of(expr: Any) -> list[Any]:
    """The variables that an expression reads."""
    found: list[Any] = []
    relax.analysis.post_order_visit(expr, lambda node: found.append(node) if isinstance(node, relax.Var) else None)
    return found


class _JoinedRelax:
    """One function for several, given with the variable and the call of each: what several read is one parameter, and all their
    results are fields of its own."""

    def __init__(self, parts: Sequence[tuple[Any, Any, relax.Function]]) -> None:
        self.parts = [(variable, call) for variable, call, _ in parts]
        self.arguments: list[Any] = []
        self.places: dict[Any, range] = {}  # of each function's results among the fields, by the variable of its call
        known: dict[Any, Any] = {}  # parameters by their arguments
        bindings: list[tuple[Any, Any]] = []
        results: list[Any] = []
        for variable, call, function in parts:
            for parameter, argument in zip(function.params, call.args, strict=True):
                if argument in known:
                    bindings.append((parameter, known[argument]))
                else:
                    known[argument] = parameter
                    self.arguments.append(argument)
            bindings += bindings_of(function)
            result = dict(bindings_of(function)).get(result_of(function), result_of(function))
            fields = list(result.fields) if isinstance(result, relax.Tuple) else [result_of(function)]
            self.places[variable] = range(len(results), len(results) + len(fields))
            results += fields
        whole = relax.Tuple(results)
        self.variable = relax.Var("joined", relax.TupleType([field.ty for field in results]))
        made = relax.Var("results", self.variable.ty)
        function = parts[0][2]
        body = _body([*bindings, (made, whole)], made)
        self.function = relax.Function(list(known.values()), body, self.variable.ty, True, function.attrs)
        self.callee = tvm.ir.GlobalVar(str(parts[0][1].op.name_hint))
        relax.expr._update_type(self.callee, self.function.ty)


class _JoinedOrder:
    """The bindings of a function, each behind what it reads, with the calls of joined functions."""

    def __init__(self, bindings: Bindings, joined: Mapping[str, _JoinedRelax]) -> None:
        self._values = dict(bindings)
        self._joined = {variable: group for group in joined.values() for variable, _ in group.parts}

    def all(self) -> Iterator[tuple[Any, Any]]:
        done: set[Any] = set()
        waiting = list(self._values)[::-1]
        while waiting:
            variable = waiting[-1]
            missing = [each for each in self._needed(variable) if each in self._values and each not in done]
            if variable in done or not missing:
                waiting.pop()
            if variable not in done and not missing:
                made = list(self._made(variable))
                done.update(each for each, _ in made)
                yield from made
            elif variable not in done:
                waiting += missing

    def _needed(self, variable: Any) -> list[Any]:
        group = self._joined.get(variable)
        read = [self._values[variable]] if group is None else group.arguments
        return [operand for expr in read for operand in variables_of(expr)]

    def _made(self, variable: Any) -> Iterator[tuple[Any, Any]]:
        group = self._joined.get(variable)
        if group is None:
            yield variable, self._values[variable]
            return
        yield group.variable, relax.Call(group.callee, group.arguments)
        for each, places in group.places.items():
            yield from _taken(each, group.variable, places)


def _taken(variable: Any, whole: Any, places: range) -> Iterator[tuple[Any, Any]]:
    """What was one function's result, out of the fields of all."""
    if len(places) == 1:
        yield variable, relax.TupleGetItem(whole, places[0])
        return
    fields = [relax.DataflowVar(f"field_{place}", variable.ty.fields[index]) for index, place in enumerate(places)]
    for field, place in zip(fields, places, strict=True):
        yield field, relax.TupleGetItem(whole, place)
    yield variable, relax.Tuple(fields)


def _body(bindings: Bindings, result: Any) -> relax.SeqExpr:
    return relax.SeqExpr(
        [relax.DataflowBlock([relax.VarBinding(variable, value) for variable, value in bindings])], result
    )
