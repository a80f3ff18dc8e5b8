"""Offloaded functions that do not depend on each other become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tvm
from tvm import relay

from tvm_re2na.frontends.common.regions import independent
from tvm_re2na.frontends.relay.walk import all_of, operands_of

Functions = Mapping[str, relay.Function]


def with_joined_regions(mod: tvm.IRModule, functions: Functions, mod_name: str) -> tvm.IRModule:
    """`functions`: the offloaded ones, each called once; by their symbols, which are made anew where any are joined."""
    calls = {symbol_of(call): call for call in all_of(mod["main"].body) if symbol_of(call) in functions}
    groups = independent(_reads(mod["main"].body, calls))
    if len(groups) == len(functions):
        return mod
    joined = [
        _JoinedRelay(group, functions, calls, f"tvmgen_{mod_name}_re2na_main_{index}")
        for index, group in enumerate(groups)
    ]
    others = {var: f for var, f in mod.functions.items() if str(var.name_hint) not in (*functions, "main")}
    made: dict[relay.GlobalVar, relay.Function] = {group.variable: group.function for group in joined}
    made[mod.get_global_var("main")] = _JoinedCalls(
        {symbol: group for group in joined for symbol in group.symbols}
    ).visit(mod["main"])
    return tvm.IRModule(others | made, mod.type_definitions)


def symbol_of(expr: relay.Expr) -> str:
    """Of the global function that is called; an empty string where none is."""
    is_call = isinstance(expr, relay.Call) and isinstance(expr.op, relay.GlobalVar)
    return str(expr.op.name_hint) if is_call else ""


def _reads(body: relay.Expr, calls: Mapping[str, relay.Call]) -> dict[str, set[str]]:
    """For each offloaded function, all others that its arguments are made of; in execution order."""
    made_of: dict[int, frozenset[str]] = {}
    found: dict[str, set[str]] = {}
    for expr in all_of(body):
        above = frozenset[str]().union(*(made_of.get(hash(operand), frozenset()) for operand in operands_of(expr)))
        symbol = symbol_of(expr)
        if symbol in calls:
            found[symbol] = set(above)
            above |= {symbol}
        made_of[hash(expr)] = above
    return found


class _JoinedRelay:
    """One function for several: what several of them read is one parameter; all their results are fields of its own."""

    def __init__(
        self, symbols: Sequence[str], functions: Functions, calls: Mapping[str, relay.Call], symbol: str
    ) -> None:
        self.symbols, self.arguments = symbols, list[relay.Expr]()
        self.places: dict[str, range] = {}  # of each function's results among the fields
        parameters: list[relay.Var] = []
        results: list[relay.Expr] = []
        kinds: list[tvm.ir.Type] = []
        known: dict[int, relay.Var] = {}  # by the argument
        for each in symbols:
            function, substituted = functions[each], {}
            for parameter, argument in zip(function.params, calls[each].args, strict=True):
                if hash(argument) not in known:
                    known[hash(argument)] = parameter
                    parameters.append(parameter)
                    self.arguments.append(argument)
                substituted[parameter] = known[hash(argument)]
            body = relay.bind(function.body, substituted)
            fields = list(body.fields) if isinstance(body, relay.Tuple) else [body]
            self.places[each] = range(len(results), len(results) + len(fields))
            results += fields
            kind = function.checked_type.ret_type
            kinds += kind.fields if isinstance(kind, tvm.ir.TupleType) else [kind]
        self.is_tuple = len(results) > 1
        body, kind = (relay.Tuple(results), tvm.ir.TupleType(kinds)) if self.is_tuple else (results[0], kinds[0])
        whole = relay.Function(parameters, body, kind, attrs=functions[symbols[0]].attrs)
        self.function, self.variable = whole.with_attr("global_symbol", symbol), relay.GlobalVar(symbol)


class _JoinedCalls(relay.ExprMutator):  # type: ignore[misc]
    """Calls the joined functions: once each, when the first of their results is needed."""

    def __init__(self, joined: Mapping[str, _JoinedRelay]) -> None:
        super().__init__()
        self._joined = joined
        self._calls: dict[relay.GlobalVar, relay.Call] = {}

    def visit_call(self, call: relay.Call) -> relay.Expr:
        joined = self._joined.get(symbol_of(call))
        if joined is None:
            return super().visit_call(call)
        if joined.variable not in self._calls:
            arguments = [self.visit(argument) for argument in joined.arguments]
            self._calls[joined.variable] = relay.Call(joined.variable, arguments)
        made = self._calls[joined.variable]
        if not joined.is_tuple:
            return made
        fields = [relay.TupleGetItem(made, place) for place in joined.places[symbol_of(call)]]
        return fields[0] if len(fields) == 1 else relay.Tuple(fields)

    def visit_tuple_getitem(self, item: relay.TupleGetItem) -> relay.Expr:
        whole = self.visit(item.tuple_value)
        return whole.fields[item.index] if isinstance(whole, relay.Tuple) else relay.TupleGetItem(whole, item.index)
