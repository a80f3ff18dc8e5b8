"""Partitioned Relax function -> accelerator graph."""

from __future__ import annotations

import functools

from tvm import relax

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.frontends.common.found import Operators
from tvm_re2na.frontends.common.lowering import Lowering, foreign
from tvm_re2na.frontends.common.marks import NAME_ATTR
from tvm_re2na.frontends.relax.partition import architecture_of, composite_kind, composites, operator_of
from tvm_re2na.frontends.relax.walk import attribute, bindings_of, result_of, shape_of


def lower(
    function: relax.Function, name: str, arch: Architecture | None = None, known: Operators | None = None
) -> Graph:
    """As of the front end for Relay."""
    lowering = Lowering(name, arch or architecture_of(function), known)
    lowering.add_inputs(function.params, shape_of)
    found = {variable: (call, composite) for variable, call, composite in composites(function)}
    for variable, value in bindings_of(function):
        if variable in found:
            call, composite = found[variable]
            describe = functools.partial(operator_of, composite)
            operator_name = attribute(composite, NAME_ATTR)
            lowering.add_operator(variable, composite_kind(composite), operator_name, call.args, describe)
        elif isinstance(value, relax.Var):
            lowering.add_alias(variable, value)
        elif not isinstance(value, (relax.Function, relax.Tuple)):
            raise foreign(name, value)
    result = dict(bindings_of(function)).get(result_of(function), result_of(function))
    return lowering.graph(result.fields if isinstance(result, relax.Tuple) else [result_of(function)])
